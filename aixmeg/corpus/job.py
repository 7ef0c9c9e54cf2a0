"""The state of a build: a hidden folder inside the corpus folder, from which a killed build goes on.

    job.json            what is built, from which files; another configuration or changed sources start over
    listed/00000.jsonl  candidates of the walk
    hashed/00000.jsonl  the same with a digest, or the reason for dropping them
    planned/00000.jsonl what is parsed, by output shard
    plan.json           written when the plan is complete
    shards/             finished shards, each with its tally, which is written last and marks the shard as done

Every file appears under its name when it is complete, so its existence is the completion marker.
"""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from aixmeg.corpus.source_file import shard_name
from aixmeg.errors import UserError
from aixmeg.files import read_json, sync, write_error, write_json

STATE_FOLDER: Final = ".building"


class Job:
    """Names inside a state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = folder / "job.json"
        self.plan = folder / "plan.json"
        self.publishing = folder / "publishing.json"

    def listed(self, shard: int) -> Path:
        """Candidates."""
        return self.folder / "listed" / f"{shard:05d}.jsonl"

    def hashed(self, shard: int) -> Path:
        """Candidates with digests or reasons."""
        return self.folder / "hashed" / f"{shard:05d}.jsonl"

    def planned(self, shard: int) -> Path:
        """Files to parse."""
        return self.folder / "planned" / f"{shard:05d}.jsonl"

    def shard(self, shard: int) -> Path:
        """Kept files."""
        return self.folder / "shards" / shard_name(shard)

    def shard_tally(self, shard: int) -> Path:
        """Counts of a finished shard."""
        return self.folder / "shards" / f"{shard:05d}.json"

    def roots(self) -> dict[str, Path]:
        """Folder of each repository."""
        return {name: Path(root) for name, root in read_json(self.description)["roots"].items()}

    def describes(self, fingerprint: str) -> bool:
        """Whether an earlier, unfinished build of the same files with the same settings is here."""
        try:
            return bool(read_json(self.description)["fingerprint"] == fingerprint)
        except (UserError, KeyError, TypeError):
            return False

    def restart(self, description: dict[str, Any]) -> None:
        """Drop what an earlier build left, but for the listing, and describe a new build."""
        self.description.unlink(missing_ok=True)
        self.plan.unlink(missing_ok=True)
        self.publishing.unlink(missing_ok=True)
        for name in ("hashed", "planned", "shards"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        write_json(self.description, description)

    def publish(self, output: Path, shards: int, report: dict[str, Any]) -> None:
        """Move the shards into `output`, in the place of an earlier corpus; the report comes last and completes it.

        A build that is killed here goes on here: what has been moved stays moved.
        """
        try:
            if not self.publishing.exists():
                (output / "report.json").unlink(missing_ok=True)
                for old in output.glob("shard-*.jsonl"):
                    old.unlink()
                write_json(self.publishing, {})
            for shard in range(shards):
                if self.shard(shard).exists():
                    self.shard(shard).replace(output / shard_name(shard))
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
    """The job of an output folder, for this process alone.

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
