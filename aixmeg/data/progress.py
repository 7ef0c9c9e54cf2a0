"""A progress bar in bytes on standard error; occasional plain lines where that is not a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES: Final = 15.0


class Progress:
    """`with Progress(title, total) as progress: progress.advance(n)`."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._start = self._last = time.monotonic()
        console = Console(stderr=True)
        self._bar: Bar | None = None
        if console.is_terminal:
            columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
            self._bar = Bar(TextColumn("{task.description}"), *columns, console=console)
            self._task = self._bar.add_task(title, total=total)

    def advance(self, amount: int) -> None:
        """Add `amount` bytes."""
        self._done += amount
        now = time.monotonic()
        if self._bar is not None:
            self._bar.advance(self._task, amount)
        elif now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            speed = self._done / (now - self._start) / 1e6
            share = self._done / max(self._total, 1)
            print(f"{self._title}: {share:.0%} of {self._total / 1e6:.0f} MB, {speed:.1f} MB/s", file=sys.stderr)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
