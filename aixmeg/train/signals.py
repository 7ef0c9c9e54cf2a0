"""Signals ask the training for a checkpoint, and to stop behind it, instead of killing it in the middle of a step.

SIGTERM (SLURM's end of a job, torchrun's shutdown), SIGUSR1 (SLURM's warning before a time limit or a preemption) and
Ctrl-C: save and stop. SIGUSR2: save and go on. One rank's signal is enough: every step tells the others.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

_STOP = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_SAVE = (signal.SIGUSR2,)


class StopSignal:
    """While active, signals are wishes. A second Ctrl-C kills; other signals may come twice (SLURM and the batch script
    both send one) and change nothing: who has no time left sends SIGKILL."""

    def __init__(self) -> None:
        self.requested: str | None = None
        """Name of the signal that asked to stop, or None."""
        self._save = False
        self._previous: dict[int, signal._HANDLER] = {}

    def stop_requested(self) -> bool:
        """Whether this process was asked to save and stop."""
        return self.requested is not None

    def take_save(self) -> bool:
        """Whether this process was asked to save and go on, since the last time it was taken."""
        save, self._save = self._save, False
        return save

    def __enter__(self) -> StopSignal:
        for number in (*_STOP, *_SAVE):
            before = self._previous[number] = signal.signal(number, self._arrived)
            outer = getattr(before, "__self__", None)
            if isinstance(outer, StopSignal):  # what arrived while the training started is wished of its loop
                self.requested, self._save = outer.requested or self.requested, outer._save or self._save
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if number in _SAVE:
            self._save = True
            return
        self.requested = signal.Signals(number).name
        if number == signal.SIGINT:
            signal.signal(number, self._previous[number] or signal.SIG_DFL)
