"""A rank that is slower than the others is named in the log, in events.jsonl and in the records."""

import json
import os
import time

import pytest
from test_train_watch import endless, logs, root
from train_ranks import TP2, changed, run_ranks, train_rank

from aixmeg.config import ParallelConfig

__all__ = ["root"]  # the fixture

MORE = 0.02
"""Seconds a step."""


@pytest.mark.parametrize(
    ("name", "ranks", "parallel", "place"),
    [("compute", 3, ParallelConfig(), "forward_backward"), ("data", 2, TP2, "data")],
)
def test_twenty_milliseconds_a_step(root, name, ranks, parallel, place):
    # A busy machine stretches all steps, so that 20 ms may be a small share of them.
    config = endless(root, f"slow-{name}", parallel, slow_window=8, slow_share=0.02)
    config = changed(config, train={"steps": 64, "global_batch_size": 2 * ranks}, model={"seq_length": 16})
    assert run_ranks(train_slowly, ranks, config, place, log=root / f"{config.paths.run}.log") == [0] * ranks
    culprit = ranks - 1
    said = [line for line in logs(root, config, 1)[0].splitlines() if " is slow: " in line]
    assert any(line.startswith(f"rank {culprit} is slow: its own part of a step took") for line in said), said
    lines = (config.paths.at("run") / "events.jsonl").read_text().splitlines()
    events = [event for event in map(json.loads, lines) if event["event"] in ("slow", "no_longer_slow")]
    first = next(event for event in events if event["rank"] == culprit)
    assert first["above"] == pytest.approx(MORE, abs=MORE / 2)
    if name == "data":
        assert first["data"] > MORE
    cost = [sum(event.get("cost", 0.0) for event in events if event["rank"] == rank) for rank in range(ranks)]
    assert cost[culprit] == max(cost) > 16 * MORE
    records = [json.loads(line) for line in (config.paths.at("run") / "metrics.jsonl").read_text().splitlines()]
    found = [record for record in records if "slowest_rank" in record]
    assert len(found) > 32
    assert all(0 < record["rank_seconds_median"] <= record["rank_seconds_slowest"] for record in found)
    if name == "compute":
        assert sum(record["slowest_rank"] == culprit for record in found) > len(found) / 2


def train_slowly(config, place):
    """The last rank takes longer over its data, or over its forward pass."""
    from aixmeg.train import loop, step

    module, name = (loop, "step_batches") if place == "data" else (step, "run_schedule")
    original = getattr(module, name)

    def slower(*arguments, **options):
        if int(os.environ["RANK"]) == int(os.environ["WORLD_SIZE"]) - 1:
            time.sleep(MORE)
        return original(*arguments, **options)

    setattr(module, name, slower)
    train_rank(config)
