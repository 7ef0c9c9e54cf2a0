"""A training over two nodes that is warned, loses ranks, its newest checkpoint, its disk and a node's daemon: the same
numbers as the one that nobody disturbed, and every fault is told with its cause and cost. soak.py does more."""

import json
from pathlib import Path

import pytest
from soak import check, make_config, match, order, soak, table
from soak_faults import FAULTS
from train_ranks import make_inputs

pytestmark = pytest.mark.timeout(900)  # six starts of two ranks, and SLURM's own waiting
SHORT = (
    "warning before the time limit",
    "corrupt newest checkpoint",
    "full disk",
    "kill -9 during a save",
    "kill -9 of slurmd and rank",
)


def test_disturbed_in_every_way_it_ends_with_the_same_numbers(lab, tmp_path):
    make_inputs(tmp_path)
    config = make_config(tmp_path, ranks=2, steps=240)
    inflicted = soak(lab, config, names=SHORT, nodes=2, ranks=2, seed=3)
    assert check(config, inflicted) == []
    assert [fault.fault for fault in inflicted] == list(SHORT)
    assert all(fault.reported and fault.cost is not None for fault in inflicted)

    # It can fail: a number of one step, a fault that nobody tells.
    metrics = tmp_path / "disturbed/metrics.jsonl"
    metrics.write_text(metrics.read_text().replace('"grad_norm": ', '"grad_norm": 1', 1))
    assert "the numbers differ from the undisturbed training's" in check(config, inflicted)
    inflicted[0].fault = "hung rank"
    assert "hung rank at step" in "".join(match(tmp_path / "disturbed", inflicted))


def test_an_order_has_every_kind_before_one_comes_again():
    names = order(list(FAULTS), 24, seed=1)
    assert sorted(names[:12]) == sorted(names[12:]) == sorted(FAULTS)
    assert names == order(list(FAULTS), 24, seed=1) != order(list(FAULTS), 24, seed=2)


def test_the_documented_table_is_that_of_the_recorded_soak():
    root = Path(__file__).parents[2]
    result = json.loads((root / "tools/benchmark/results/soak.json").read_text())
    assert (result["wrong"], len(result["faults"]) >= 20) == ([], True)
    assert table(result) in (root / "docs/cluster.md").read_text()
