"""metrics.jsonl, TensorBoard and W&B: one record per log step, each step once, also over kills and resumes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from aixmeg.config.logging import LoggingConfig
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, write_error
from aixmeg.train.together import on_rank_zero
from aixmeg.train.wandb_mirror import WandbMirror

Record = dict[str, Any]

GROUPS: Final = ("embedding", "attention", "mlp", "norms", "output")
"""Of parameters whose norms are recorded."""
STEP: Final = ("data", "forward_backward", "communication", "optimizer", "other")
"""Parts of a step. communication: the wait for gradients that other ranks hold, when the backward pass has ended;
what layers exchange (tensor, context, pipeline) is part of forward_backward, and a profile tells it apart. data: on
the host, micro-batches put together and copied. other: metrics, and the exchange of the loss."""
BESIDE: Final = ("evaluation", "checkpoint")
"""Not training speed."""

_TAGS = {
    "train": {
        "loss": "train/loss",
        "ntp_loss": "train/ntp_loss",
        "middle_loss": "train/middle_loss",
        "z_loss": "train/z_loss",
        "grad_norm": "train/grad_norm",
        "lr": "train/lr",
        "tokens_per_second": "speed/tokens_per_second",
        "goodput": "speed/goodput",
        "memory_peak": "memory/peak_bytes",
        **{
            f"{name}_{convention}": f"speed/{name}_{convention}"
            for name in ("tflops", "mfu")
            for convention in ("full", "causal")
        },
        **{f"seconds_{part}": f"seconds/{part}" for part in (*STEP, *BESIDE)},
        **{f"norm_{group}": f"norm/{group}" for group in GROUPS},
        "rank_seconds_median": "ranks/own_seconds_median",
        "rank_seconds_slowest": "ranks/own_seconds_slowest",
        "energy_per_token": "gpu/energy_per_token",
        **{
            f"gpu_{name}": f"gpu/{name}"
            for name in ("utilization", "memory_used", "power", "temperature", "sm_clock", "ecc_uncorrected")
        },
    },
    "valid": {
        name: f"valid/{name}" for name in ("ntp_loss", "middle_loss", "infill_exact_match", "infill_edit_similarity")
    },
}


class Metrics:
    """Appends records to `folder`/metrics.jsonl and mirrors their numbers to `folder`/tensorboard.

    Args:
        folder: run directory.
        resumed_step: step that the run goes on from; records of later steps, which a killed process left behind, are
            cut off, since those steps are trained again.
        wandb: gets the same numbers; None for nobody.

    Raises:
        UserError: the disk refuses a write.
    """

    def __init__(self, folder: Path, *, resumed_step: int = 0, wandb: WandbMirror | None = None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "metrics.jsonl"
        cut_after(self.path, resumed_step)
        try:
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise write_error(self.path, error) from error
        # TensorBoard itself hides what earlier processes wrote of later steps.
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resumed_step + 1)
        self._wandb = wandb

    def write(self, record: Record) -> None:
        """Append one record (`kind` and `step` required) and hand it to the kernel, so that kill -9 keeps it."""
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            numbers = dict(_numbers(record))
            for tag, value in numbers.items():
                self._board.add_scalar(tag, value, record["step"])
        except OSError as error:
            raise write_error(self.path, error) from error
        if self._wandb is not None:
            self._wandb.write(record["step"], numbers)

    def rewind(self, step: int) -> None:
        """Forget all records after `step`, since the run goes on from there."""
        kept, self._wandb = self._wandb, None
        self.close()
        self.__init__(self.path.parent, resumed_step=step, wandb=kept)

    def close(self) -> None:
        """Flush and close all. A full disk has been reported by then, or costs no more than TensorBoard's tail."""
        for part in (self._file, self._board):
            with contextlib.suppress(OSError):
                part.close()
        if self._wandb is not None:
            self._wandb.close()


def _numbers(record: Record) -> Iterator[tuple[str, float]]:
    """(tag, value) of what has a tag: of the record itself, of every dataset of a blend, and of their languages."""
    parts = [("", record), *((f"/{name}", part) for name, part in record.get("datasets", {}).items())]
    for suffix, part in parts:
        languages = [(f"{suffix}/{name}", losses) for name, losses in part.get("languages", {}).items()]
        for ending, values in [(suffix, part), *languages]:
            for name, tag in _TAGS[record["kind"]].items():
                if values.get(name) is not None:
                    yield tag + ending, values[name]


@contextlib.contextmanager
def open_metrics(
    folder: Path, *, rank: int, resumed_step: int, logging: LoggingConfig | None = None
) -> Iterator[Metrics | None]:
    """Rank 0's metrics, closed at the end; None on other ranks. Collective."""
    opened: list[Metrics] = []

    def open_here() -> None:
        wandb = WandbMirror(logging, folder) if logging is not None and logging.wandb_project is not None else None
        opened.append(Metrics(folder, resumed_step=resumed_step, wandb=wandb))

    on_rank_zero(open_here)
    try:
        yield opened[0] if rank == 0 else None
    finally:
        for metrics in opened:
            metrics.close()


def cut_after(path: Path, step: int) -> None:
    """Drop records of steps after `step`, and a line that a kill left half-written."""
    if not path.exists():
        return
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    kept = [line for line in lines if (found := _step(line)) is not None and found <= step]
    with atomic_write(path, "wb") as file:
        file.writelines(line + b"\n" for line in kept)


def _step(line: bytes) -> int | None:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return None
