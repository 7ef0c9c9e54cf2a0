"""What a user sees while the corpus is built: a bar on a terminal, now and then a line elsewhere. Standard error."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

SECONDS_BETWEEN_LINES: Final = 10.0


class Progress:
    """`with Progress(title, total=bytes) as progress: progress.bytes(done)`; without a total, `progress.files(n)`."""

    def __init__(self, title: str, *, total: int | None = None) -> None:
        self._title, self._total = title, total
        self._last_line = time.monotonic()
        console = Console(stderr=True)
        columns = [TextColumn("{task.description}"), BarColumn()]
        if total is not None:
            columns += [DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()]
        self._bar = Bar(*columns, console=console) if console.is_terminal else None
        self._task = self._bar.add_task(title, total=total) if self._bar is not None else None

    def bytes(self, done: int) -> None:
        """Show that `done` bytes are done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)
        else:
            self._line(f"{self._title}: {done / 1e6:.0f} of {(self._total or 0) / 1e6:.0f} MB")

    def files(self, number: int) -> None:
        """Show the number of files so far."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=f"{self._title}: {number:,}")
        else:
            self._line(f"{self._title}: {number:,}")

    def _line(self, text: str) -> None:
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            print(text, file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
