"""What a replayed step says: its repeats beside each other and beside what was recorded."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aixmeg.errors import UserError
from aixmeg.train.skip import Skipped, merge, read_events
from aixmeg.train.step import StepResult

Numbers = tuple[float, float]
"""Loss and gradient norm."""
_RANKS_SHOWN = 16


def read_record(run: Path, step: int, *, with_skipped: bool) -> tuple[Skipped, dict[int, Numbers]]:
    """What was left out when `step` was taken, and the recorded numbers of steps.

    Args:
        run: run directory.
        step: to replay.
        with_skipped: as it was when it broke and its samples were left out.

    Raises:
        UserError: no samples were left out because of it.
    """
    events, recorded = read_events(run), _recorded(run / "metrics.jsonl")
    if with_skipped:
        found = [number for number, event in enumerate(events) if event.get("step") == step]
        if not found:
            steps = ", ".join(str(event["step"]) for event in events if "step" in event) or "none"
            raise UserError(f"no samples of {run} were left out because of step {step}; steps that broke: {steps}")
        broken = events[found[-1]]
        recorded[step] = (broken["loss"], broken["grad_norm"])
        events = events[: found[-1]]
    return merge((event["start"], event["stop"]) for event in events), recorded


def _recorded(path: Path) -> dict[int, Numbers]:
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # what a kill left
            continue
        if record.get("kind") == "train":
            found[record["step"]] = (record["loss"], record["grad_norm"])
    return found


@dataclass
class Report:
    """Fills while the step is replayed; the lists of ranks stay empty on other ranks than 0."""

    step: int
    source: str
    """Where the state before the step comes from."""
    begun: int
    """Step of that state."""
    recorded: dict[int, Numbers]
    as_it_ran: bool = True
    """Whether the run's own kernels gave the same bits every time; false where it trained on GPUs without
    `train.deterministic_mode`."""
    samples: Sequence[int] = ()
    results: list[StepResult] = field(default_factory=list)
    """Of each repeat."""
    prints: list[list[tuple[str, float]]] = field(default_factory=list)
    """Of each repeat, by rank: digest and norm of its own gradients."""
    weights: list[tuple[Any, str]] = field(default_factory=list)
    """By rank: which part of the model it holds, and a digest of its weights before the step."""
    differs_from: int | None = None
    """First step on the way whose numbers are not the recorded ones."""

    def on_the_way(self, step: int, result: StepResult) -> None:
        """Compare a step between the checkpoint and the replayed one."""
        record = self.recorded.get(step)
        if self.differs_from is None and record is not None and not _same(record, (result.loss, result.grad_norm)):
            self.differs_from = step

    def text(self) -> str:
        """For the user, with the verdict last."""
        lines = [f"step {self.step} from {self.source}, on samples {self.samples[0]} to {self.samples[-1]}", ""]
        lines.append(f"{'':<10}  {'loss':>22}  {'gradient norm':>22}")
        record = self.recorded.get(self.step)
        lines.append(f"{'recorded':<10}  {_shown(record)}" if record else "recorded    nothing for this step")
        lines += [f"{f'repeat {n}':<10}  {_shown((r.loss, r.grad_norm))}" for n, r in enumerate(self.results, 1)]
        lines += ["", "each rank's own gradients, before they are reduced: digest and norm of each repeat"]
        lines += self._ranks()
        return "\n".join([*lines, "", *self.verdict()])

    def verdict(self) -> list[str]:
        """Sentences: what agrees with what, and whom to suspect."""
        found = self._replicas()
        suspects = [rank for rank, seen in enumerate(self._digests()) if len(set(seen)) > 1]
        numbers = [(result.loss, result.grad_norm) for result in self.results]
        if suspects or not all(_same(numbers[0], other) for other in numbers):
            who = f"rank{'s' if len(suspects) > 1 else ''} {', '.join(map(str, suspects))}"
            where = f"the gradients of {who} differ" if suspects else "gradients agree on every rank, their sums differ"
            whom = f"the hardware of {who}" if suspects else "the links between the ranks"
            return [*found, f"NOT REPRODUCIBLE: from one state and one batch {where} between repeats: suspect {whom}."]
        if len(self.results) == 1:
            found.append("One repeat shows nothing about the hardware: take 2 or more.")
        record = self.recorded.get(self.step)
        if record is None:
            return [*found, "REPRODUCIBLE: all repeats agree bit for bit; nothing was recorded to compare them with."]
        if _same(record, numbers[0]):
            return [*found, "REPRODUCIBLE, AS RECORDED: the numbers follow from the weights and the samples: look at "
                    "the data and the learning rate, not at the hardware."]  # fmt: skip
        if not self.as_it_ran and all(map(math.isfinite, (*record, *numbers[0]))):
            loss, norm = (_relative(a, b) for a, b in zip(record, numbers[0], strict=True))
            return [*found, f"REPRODUCIBLE; the recorded loss differs by {loss:.1e} of itself, the gradient norm by "
                    f"{norm:.1e}. The run was trained without train.deterministic_mode: differences of rounding are no "
                    "sign of a fault, and grow from the checkpoint to the step. A much larger one is: the hardware "
                    "failed when it was recorded, or layout, options or versions were others then."]  # fmt: skip
        return [*found, f"REPRODUCIBLE, BUT NOT AS RECORDED: all repeats agree, and {self._since()}: the hardware "
                "failed when it was recorded, or layout, options or versions were others then."]  # fmt: skip

    def _since(self) -> str:
        if self.differs_from is not None:
            return f"step {self.differs_from} on the way there differs from the record already"
        return (
            f"steps {self.begun + 1} to {self.step - 1} are as recorded"
            if self.step - self.begun > 1
            else ("the state is the checkpoint's")
        )

    def _replicas(self) -> list[str]:
        """Ranks that should hold the same weights, and do not."""
        parts: dict[Any, dict[int, str]] = defaultdict(dict)
        for rank, (place, digest) in enumerate(self.weights):
            parts[place][rank] = digest
        lines = []
        for ranks in parts.values():
            (common, count), *_ = Counter(ranks.values()).most_common()
            odd = [rank for rank, digest in ranks.items() if digest != common]
            if odd:
                named = odd if count > len(ranks) - count else list(ranks)
                lines.append(f"REPLICAS DIFFER: ranks {', '.join(map(str, ranks))} should hold the same weights before "
                             f"the step; suspect {', '.join(map(str, named))}.")  # fmt: skip
        return lines

    def _digests(self) -> list[list[str]]:
        """By rank, of each repeat."""
        return [[digest for digest, _ in seen] for seen in zip(*self.prints, strict=True)]

    def _ranks(self) -> list[str]:
        """A line per rank; of many ranks that agree with themselves only some."""
        lines, left = [], 0
        for rank, seen in enumerate(zip(*self.prints, strict=True)):
            agree = len({digest for digest, _ in seen}) == 1
            if agree and rank >= _RANKS_SHOWN:
                left += 1
                continue
            shown = "  ".join(f"{digest} {norm:<12.6g}" for digest, norm in (seen[:1] if agree else seen))
            lines.append(f"{f'rank {rank}':<10}  {shown.rstrip()}{'  in all repeats' if agree else '  DIFFERENT'}")
        return [*lines, f"{left} more ranks, each the same in all repeats"] if left else lines


def _same(one: Numbers, other: Numbers) -> bool:
    """Bit for bit, but for the kind of NaN."""
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True))


def _relative(recorded: float, again: float) -> float:
    return abs(again - recorded) / abs(recorded) if recorded else abs(again)


def _shown(numbers: Numbers) -> str:
    return "  ".join(f"{value!r:>22}" for value in numbers)
