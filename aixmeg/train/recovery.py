"""Back to the last good checkpoint after a broken step, inside the running processes.

The samples of the broken step go to RUN/skipped.jsonl, weights, optimizer and random numbers come from the newest
checkpoint that has not seen them, and the training goes on as if these samples had never been in the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from aixmeg.config import Config
from aixmeg.errors import UserError
from aixmeg.train.batches import step_samples
from aixmeg.train.build import Training
from aixmeg.train.checkpoint import find_whole, restore
from aixmeg.train.folders import go_back_to, list_checkpoints, step_of
from aixmeg.train.skip import FILE, Skipped, append_event, read_events, read_skipped
from aixmeg.train.step import StepResult
from aixmeg.train.together import on_rank_zero


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """Where the training goes on."""

    step: int
    """Last step that is in the weights."""
    skipped: Skipped
    """All samples that are left out from now on."""
    health: list[Any]
    """State of `Health`."""
    notice: str
    """For the user."""


def roll_back(
    training: Training, run: Path, *, step: int, samples: Sequence[int], skipped: Skipped, result: StepResult,
    reason: str,
) -> Recovered:  # fmt: skip
    """Leave the samples around a broken step out and restore the newest checkpoint before them; collective.

    Args:
        training: in any state.
        run: run directory; nothing is being saved.
        step: the broken one.
        samples: that it was trained on.
        skipped: what is left out already.
        result: of the step.
        reason: what is wrong with it.

    Raises:
        UserError: too many rollbacks, or no checkpoint that has not seen the samples.
    """
    options, broken = training.config.health, _broken(step, samples, result, reason)
    first, start, stop = _window(training.config, step, skipped)

    # 1. Whether there is a way back. Rank 0 looks: every rank must come to the same end.
    done = on_rank_zero(lambda: len([event for event in read_events(run) if "step" in event]))
    if done >= options.max_rollbacks:
        raise UserError(
            f"{broken}; the training stops: health.max_rollbacks={options.max_rollbacks}, and it has gone back {done} "
            f"times. {_REMEDY}"
        )
    folders = on_rank_zero(lambda: [folder for folder in list_checkpoints(run) if step_of(folder) < first])
    if not folders:
        raise UserError(f"{broken}; there is no checkpoint before step {first} to go back to. {_REMEDY}")
    folder, manifest, damaged = find_whole(folders, verify=training.config.checkpoint.verify)

    # 2. First the way back, then the window: a kill between them repeats the broken step, and nothing is lost.
    event = {
        "start": start, "stop": stop, "step": step, "back_to": manifest["step"], "reason": reason,
        "loss": result.loss, "grad_norm": result.grad_norm,
    }  # fmt: skip
    on_rank_zero(lambda: go_back_to(folder))
    on_rank_zero(lambda: append_event(run, event))
    restore(training, folder, manifest)
    dist.barrier()
    return Recovered(
        step=manifest["step"],
        skipped=on_rank_zero(lambda: read_skipped(run)),
        health=manifest["health"],
        notice=_notice(broken, event, folder, damaged),
    )


_REMEDY = (
    "Lower optimizer.lr, lengthen optimizer.warmup_steps or look at these samples (`aixmeg replay` tells data from "
    "hardware), then go on with --resume"
)


def _window(config: Config, step: int, skipped: Skipped) -> tuple[int, int, int]:
    """First step of the window, its first sample, and the one behind its last."""
    health, train = config.health, config.train
    first = max(step - health.skip_steps_before, 1)
    start = step_samples(first - 1, train).start
    stop = step_samples(step - 1 + health.skip_steps_after, train).stop
    return first, skipped.sample(start), skipped.sample(stop - 1) + 1


def _broken(step: int, samples: Sequence[int], result: StepResult, reason: str) -> str:
    return (
        f"step {step}: loss {result.loss}, gradient norm {result.grad_norm}, on samples {samples[0]} to {samples[-1]}; "
        f"this step is not saved: {reason}"
    )


def _notice(broken: str, event: dict[str, Any], folder: Path, damaged: dict[Path, str]) -> str:
    damage = "".join(f" ({problem.split(';')[0]})" for problem in damaged.values())
    return (
        f"{broken}. Going on from {folder.name}{damage} without samples {event['start']} to {event['stop'] - 1}, as "
        f"{FILE} says"
    )
