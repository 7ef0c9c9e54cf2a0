"""A profile of chosen steps: where the time of host and device goes, op by op.

RUN/profiles/steps-10-12/rank-0.txt       the dearest ops, as a table
RUN/profiles/steps-10-12/rank-0.json.gz   every event, for https://ui.perfetto.dev or chrome://tracing
"""

from __future__ import annotations

import gzip
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from aixmeg.config.logging import LoggingConfig
from aixmeg.errors import UserError
from aixmeg.files import atomic_write

PROFILES: Final = "profiles"
_ROWS: Final = 40


class StepProfiler:
    """Profiles this rank from the start of the first chosen step to the end of the last; does nothing on other ranks.

    Args:
        options: which steps, of which ranks.
        run: run directory.
        rank: this one.
    """

    def __init__(self, options: LoggingConfig, run: Path, *, rank: int) -> None:
        chosen = options.profile_steps is not None and rank in options.profile_ranks
        self._first, self._last = options.profile_steps if chosen and options.profile_steps else (0, 0)
        self._run, self._rank = run, rank
        self._profile: Any = None

    def begin(self, step: int) -> None:
        """`step` starts now. A run that was resumed between the chosen steps profiles those that are left."""
        if self._profile is not None or not self._first <= step <= self._last:
            return
        from torch.profiler import ProfilerActivity, profile, supported_activities

        wanted = {ProfilerActivity.CPU, ProfilerActivity.CUDA} & set(supported_activities())
        self._first = step
        self._profile = profile(activities=sorted(wanted, key=str), acc_events=True)
        self._profile.start()

    def end(self, step: int, *, last: bool) -> str | None:
        """`step` has ended, the `last` one of the run maybe; the message when the profile was written.

        Raises:
            UserError: the disk refuses it.
        """
        if self._profile is None or not (step >= self._last or last):
            return None
        profile, self._profile = self._profile, None
        profile.stop()
        folder = self._run / PROFILES / f"steps-{self._first}-{step}"
        self._first, self._last = 0, 0
        folder.mkdir(parents=True, exist_ok=True)
        table = profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=_ROWS)
        with atomic_write(folder / f"rank-{self._rank}.txt") as file:
            file.write(table + "\n")
        with tempfile.TemporaryDirectory(dir=folder) as scratch, atomic_write(self._trace(folder), "wb") as file:
            whole = Path(scratch) / "trace.json"
            profile.export_chrome_trace(str(whole))
            with whole.open("rb") as source, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as target:
                shutil.copyfileobj(source, target)
        return f"profile of steps {folder.name.removeprefix('steps-')} is in {folder}"

    def drop(self) -> None:
        """The training goes back; a profile of steps that do not count is given up, and begun again at its first."""
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _trace(self, folder: Path) -> Path:
        return folder / f"rank-{self._rank}.json.gz"


def steps_of(words: str) -> tuple[int, int]:
    """First and last step of "10-12" or "10".

    Raises:
        UserError: something else.
    """
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", words)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last:
        raise UserError(f"--profile {words} names no steps: write FIRST-LAST with 1 <= FIRST <= LAST, such as 10-12")
    return first, last
