"""Save checkpoints beside the training: at most one is being written, and it appears when all of it is on the disk."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import torch.distributed as dist

from aixmeg.errors import UserError
from aixmeg.train import torch_dist
from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.folders import Manifest, publish, step_folder, temporary_folder
from aixmeg.train.host_memory import HostMemory
from aixmeg.train.manifest import describe
from aixmeg.train.state import SHARDING, training_state
from aixmeg.train.together import on_rank_zero

_PATIENCE = timedelta(hours=6)
"""For the slowest rank's disk, while the training goes on."""


class Saver:
    """Saves the checkpoints of one run. `save`, `wait` and leaving the block are collective.

    When `asynchronous`, `save` returns when what this rank writes is copied to host memory. A thread per
    rank writes it; these threads agree through a process group of their own, and rank 0's publishes.

    A save that fails leaves the earlier checkpoints and `latest` untouched and nothing of itself; it is reported, and
    the next one is tried, until `checkpoint.max_failed_saves` in a row have failed.
    """

    def __init__(self, training: Training, run: Path, *, asynchronous: bool) -> None:
        self._training, self._run = training, run
        self._group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if asynchronous else None
        self._memory = HostMemory() if asynchronous else None
        self._checked = False
        self._thread: threading.Thread | None = None
        self._error: tuple[int, Exception] | None = None
        self._failures = 0
        self._news: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unsaved: list[tuple[int, str]] = []
        self.waited = 0.0
        """Seconds that the training has stood still for the newest save."""

    def save(self, step: int, manifest: Manifest) -> None:
        """Begin the checkpoint of `step` after the one before it is done.

        Raises:
            UserError: too many saves in a row have failed.
        """
        begun = time.perf_counter()
        self.wait()
        try:
            prepared = self._prepare(step)
        except (OSError, UserError) as error:
            self._clear(step)
            self._failed(step, self._explained(step, error), final=False)
            return
        if self._group is None:
            self._write(prepared, step, manifest, begun, None)
            self.wait()
        else:
            self.waited = time.perf_counter() - begun
            arguments = (prepared, step, manifest, begun, self.waited)
            self._thread = threading.Thread(target=self._write, args=arguments, name=f"checkpoint-{step}")
            self._thread.start()

    def wait(self, *, final: bool = False) -> None:
        """Until nothing is being written.

        Args:
            final: no later save will make good for a failed one, so raise.

        Raises:
            UserError: it failed, and that was the last or one too many.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            self._failed(*error, final=final)

    def news(self) -> list[str]:
        """What rank 0 should tell the user: what was saved, or not, since it was asked last."""
        found = []
        while not self._news.empty():
            found.append(self._news.get())
        return found

    def unsaved(self) -> list[tuple[int, str]]:
        """Step and cause of each save that has failed since it was asked last; the same on every rank."""
        found, self._unsaved = self._unsaved, []
        return found

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Also where the training fails, what is being written is finished: it is from before the failure."""
        if self._thread is not None:
            self._thread.join()

    def _prepare(self, step: int) -> torch_dist.Prepared:
        training, folder = self._training, temporary_folder(self._run, step)
        on_rank_zero(lambda: _make_empty(folder))
        with whole_parameters(training):
            memory = self._memory or HostMemory()
            state = training_state(
                training.models, training.optimizer, training.topology, loading=False, with_random=True, memory=memory
            )
            prepared = torch_dist.prepare(
                state, folder, metadata=SHARDING, memory=self._memory, check=not self._checked
            )
        self._checked = True  # what is saved, and how it is sharded, stays as it is
        return prepared

    def _write(
        self, prepared: torch_dist.Prepared, step: int, manifest: Manifest, begun: float, waited: float | None
    ) -> None:
        """Write and publish, or keep the error for `wait`; in a thread of every rank, or in the training's own."""
        train, options = self._training.config.train, self._training.config.checkpoint
        try:
            digests = torch_dist.write(prepared, self._group)
            folder = on_rank_zero(
                lambda: publish(
                    self._run, step, manifest, digests=digests, keep=train.keep_checkpoints,
                    keep_every=options.keep_every,
                ),
                self._group,
            )  # fmt: skip
        except Exception as error:
            self._clear(step)
            self._error = (step, self._explained(step, error))
            return
        self._failures = 0
        took = time.perf_counter() - begun
        self._news.put(f"saved {folder} in {took:.1f} s, of which the training waited {waited or took:.1f}")

    def _failed(self, step: int, error: Exception, *, final: bool) -> None:
        if not isinstance(error, UserError):
            raise error
        self._failures += 1
        if final or self._failures > self._training.config.checkpoint.max_failed_saves:
            raise UserError(f"{error}: free space, then go on with --resume") from error
        self._unsaved.append((step, str(error)))
        self._news.put(f"{error}; the next one is saved as planned")

    def _explained(self, step: int, error: Exception) -> Exception:
        if not isinstance(error, (OSError, UserError, RuntimeError)):
            return error
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        folder = temporary_folder(self._run, step).parent
        explained = UserError(
            f"cannot save the checkpoint of step {step} in {folder}: {cause}; earlier checkpoints are untouched"
        )
        explained.__cause__ = error
        return explained

    def _clear(self, step: int) -> None:
        if dist.get_rank() == 0:
            shutil.rmtree(temporary_folder(self._run, step), ignore_errors=True)


def save_checkpoint(training: Training, run: Path, step: int, *, data: dict[str, Any]) -> Path:
    """Save one checkpoint and wait for it; collective.

    Raises:
        UserError: it cannot be written; the earlier checkpoints and `latest` are untouched.
    """
    with Saver(training, run, asynchronous=False) as saver:
        saver.save(step, describe(training.config, step=step, data=data))
        saver.wait(final=True)
    return step_folder(run, step)


def _make_empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
