"""SIGTERM and SIGINT ask the loop to finish its step and save, instead of killing it in the middle."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class StopSignal:
    """While active, SIGTERM (SLURM's warning, torchrun's shutdown) and Ctrl-C set `requested`; a second one kills."""

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that arrived, or None."""
        self._previous: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> StopSignal:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.requested = signal.Signals(number).name
        signal.signal(number, self._previous[number] or signal.SIG_DFL)
