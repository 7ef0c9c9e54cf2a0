"""The state of a build: a hidden folder inside the corpus folder, from which a killed build goes on.

    job.json, inputs.jsonl, inputs.places     what is built, from which inputs; others start over
    scan/00000.{rows,names,repositories,near,json}    what was read of an input
    gather/…                                 what is known of each repository; gather/00000.json completes it
    judge/00000.{codes,licences,json}        licences of an input's files
    decide/…                                 which files are kept; decide/00000.json completes it: the plan
    clean/00000.{spill,index,json}           kept files of an input, by repository
    order/shard-00000.*, order/00000.json    finished shards of the corpus

Every file appears under its name when it is complete, and the `.json` of a shard comes last: it is the completion
marker. A phase's shards can be done by any process of any machine that sees the folder (`aixmeg.corpus.phases`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import shutil
import typing
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config import CorpusConfig
from aixmeg.corpus.source_file import SHARD_FILES, shard_name
from aixmeg.corpus.sources import Input
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, sync, write_error, write_json

STATE_FOLDER: Final = ".building"
PHASES: Final = ("scan", "gather", "judge", "decide", "clean", "order")
SINGLE: Final = ("gather", "decide")
"""Phases of one shard: they see the whole corpus."""

PLACE: Final = np.dtype([("line", "<u8"), ("bytes", "<u8")])
"""Of an input: where its line begins, and the estimate of its bytes."""


class Job:
    """Names inside a state folder, and what job.json tells."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = folder / "job.json"
        self.plan = self.done("decide", 0)
        self.publishing = folder / "publishing.json"

    def at(self, phase: str, shard: int, kind: str) -> Path:
        """A file of one shard of a phase."""
        return self.folder / phase / f"{shard:05d}.{kind}"

    def done(self, phase: str, shard: int) -> Path:
        """The completion marker of a shard."""
        return self.at(phase, shard, "json")

    def shards(self, phase: str) -> int:
        """Number of shards of a phase; that of `order` is known when `decide` is done."""
        if phase in SINGLE:
            return 1
        if phase == "order":
            return read_json(self.plan)["shards"]
        described = self.described()
        return described["inputs"] if phase != "judge" or described["config"]["licence"]["enabled"] else 0

    def undone(self, phase: str) -> list[int]:
        """The shards of a phase that are still to be done."""
        return [shard for shard in range(self.shards(phase)) if not self.done(phase, shard).exists()]

    def heaviest_first(self, phase: str, shards: list[int]) -> list[int]:
        """Shards of a phase in an order that leaves no worker with a long one at the end."""
        if phase in ("scan", "judge"):
            sizes = np.fromfile(self.folder / "inputs.places", PLACE)["bytes"]
        elif phase == "clean":
            sizes = np.fromfile(self.folder / "decide" / "kept", "<u8")
        else:
            return shards
        return [shards[place] for place in np.argsort(-sizes[shards].astype(np.int64), kind="stable").tolist()]

    def described(self) -> dict[str, Any]:
        """job.json: fingerprint, config, output, inputs (their number), bytes (their estimate)."""
        return read_json(self.description)

    def config(self) -> CorpusConfig:
        """The configuration of the build."""
        return typing.cast("CorpusConfig", _typed(CorpusConfig, self.described()["config"]))

    def input(self, number: int) -> Input:
        """An input."""
        place = np.fromfile(self.folder / "inputs.places", PLACE, count=1, offset=number * PLACE.itemsize)
        with (self.folder / "inputs.jsonl").open("rb") as lines:
            lines.seek(int(place["line"][0]))
            return Input.from_json(json.loads(lines.readline()))

    def describe(self, inputs: Iterable[Input], config: CorpusConfig, output: Path, stamp: str) -> bool:
        """Write the inputs; start over unless an earlier, unfinished build was of the same with the same settings.

        Returns:
            Whether there is anything to read.
        """
        digest = hashlib.sha256(stamp.encode())
        places, size, line_at = array("Q"), 0, 0
        with atomic_write(self.folder / "inputs.jsonl", "wb") as out:
            for one in inputs:
                line = json.dumps(one.to_json(), ensure_ascii=True).encode() + b"\n"
                digest.update(line)
                out.write(line)
                places.extend((line_at, one.bytes))
                line_at += len(line)
                size += one.bytes
        with atomic_write(self.folder / "inputs.places", "wb") as out:
            out.write(places.tobytes())  # little-endian, as every machine that this runs on
        fingerprint = digest.hexdigest()
        if not self._is_of(fingerprint):
            plain = json.loads(json.dumps(dataclasses.asdict(config), default=str))
            self._restart({"fingerprint": fingerprint, "config": plain, "output": str(output.resolve()),
                           "inputs": len(places) // 2, "bytes": size})  # fmt: skip
        return bool(places)

    def _is_of(self, fingerprint: str) -> bool:
        try:
            return bool(self.described()["fingerprint"] == fingerprint)
        except (UserError, KeyError, TypeError):
            return False

    def _restart(self, description: dict[str, Any]) -> None:
        self.description.unlink(missing_ok=True)
        self.publishing.unlink(missing_ok=True)
        for phase in PHASES:
            shutil.rmtree(self.folder / phase, ignore_errors=True)
        write_json(self.description, description)

    def publish(self, output: Path, shards: int, report: dict[str, Any]) -> None:
        """Move the shards into `output`, in the place of an earlier corpus; the report comes last and completes it.

        A build that is killed here goes on here: what has been moved stays moved.
        """
        try:
            if not self.publishing.exists():
                (output / "report.json").unlink(missing_ok=True)
                for old in output.glob("shard-*"):
                    old.unlink()
                write_json(self.publishing, {})
            for name in (shard_name(shard, kind) for shard in range(shards) for kind in SHARD_FILES):
                if (self.folder / "order" / name).exists():
                    (self.folder / "order" / name).replace(output / name)
            sync(output)
        except OSError as error:
            raise write_error(output, error) from error
        write_json(output / "report.json", report)
        self.discard()

    def discard(self) -> None:
        """Remove the state. The description goes first: what is left without it is never continued."""
        self.description.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def opened_job(output: Path) -> Iterator[Job]:
    """The job of an output folder, for this process and its workers alone.

    Raises:
        UserError: another build is running there, or the folder cannot be made.
    """
    folder = output / STATE_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise write_error(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another build is writing {output}; wait for it, or choose another paths.corpus") from None
        yield Job(folder)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _typed(kind: Any, value: Any) -> Any:
    """A value as JSON gives it → as its dataclass holds it."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _typed(hints[name], one) for name, one in value.items()})
    if isinstance(value, list):
        item = typing.get_args(kind)
        return tuple(_typed(item[0] if item else Any, one) for one in value)
    if isinstance(value, str) and (kind is Path or Path in typing.get_args(kind)):
        return Path(value)
    return value
