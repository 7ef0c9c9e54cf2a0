"""What the user sees while training: a live line in a terminal, a plain line every few seconds otherwise."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

_QUIET_SECONDS = 5.0
"""Between two plain lines, so that a log of a long run stays readable."""


class TrainProgress:
    """Rank 0's progress on stderr; on other ranks (`enabled` false) every method does nothing."""

    def __init__(self, *, steps: int, start: int, enabled: bool, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, quiet=not enabled)
        self._steps, self._start = steps, start
        self._begun = self._shown = time.monotonic()
        self._bar: Progress | None = None
        self._speed = ""
        if enabled and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[status]}"),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task("train", total=steps, completed=start, status="starting")
            self._bar.start()

    def step(
        self,
        step: int,
        *,
        loss: float,
        parts: Mapping[str, float | None],
        grad_norm: float,
        lr: float,
        tokens_per_second: float,
    ) -> None:
        """Show the numbers of a finished step; `parts` are losses of some of its labels, None where it has none."""
        shown = ", ".join(f"{name} {value:.4f}" for name, value in parts.items() if value is not None)
        status = (
            f"loss {loss:.4f}{f' ({shown})' if shown else ''}  grad norm {grad_norm:.3f}  lr {lr:.2e}  "
            f"{tokens_per_second:,.0f} tokens/s{self._speed}"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=step, status=status)
            return
        now = time.monotonic()
        if now - self._shown >= _QUIET_SECONDS or step in (self._start + 1, self._steps):
            self._shown = now
            self._print(f"step {step}/{self._steps}  {status}  ETA {self._remaining(step, now)}")

    def speed(self, record: Mapping[str, float]) -> None:
        """Show the utilisation and goodput of a metrics record beside the next steps."""
        parts = [f"{record['tflops_full']:.3g} TFLOP/s a rank"] if "tflops_full" in record else []
        if "mfu_full" in record:
            parts.append(f"MFU {record['mfu_full']:.1%}")
        if "goodput" in record:
            parts.append(f"goodput {record['goodput']:.0%}")
        self._speed = "".join(f"  {part}" for part in parts)

    def say(self, message: str) -> None:
        """A line of its own, above the live one: validation results, checkpoints, notices."""
        self._print(message)

    def __enter__(self) -> TrainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _remaining(self, step: int, now: float) -> str:
        seconds = round((now - self._begun) / max(step - self._start, 1) * (self._steps - step))
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
