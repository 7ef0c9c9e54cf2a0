"""What an interrupted conversion had finished: files with size and SHA-256, which the next run does not write again.

The ledger lies in the temporary folder that a conversion fills, and is removed before the folder gets its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from aixmeg.errors import UserError
from aixmeg.files import read_json, sha256_file, sync, write_json

LEDGER = "unfinished.json"


class Ledger:
    """Finished files of one temporary folder, as long as the conversion is the same one."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Take over what an earlier run left in `folder`, or empty it if that was another conversion.

        Args:
            folder: made if it is not there.
            identity: what decides every byte that will be written: source files, type, plan; JSON values.
        """
        self.folder = folder
        self._identity = json.loads(json.dumps(identity, default=str))
        self._files: dict[str, dict[str, Any]] = {}
        earlier = self._read_earlier()
        if earlier is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        else:
            self._files = earlier

    def _read_earlier(self) -> dict[str, dict[str, Any]] | None:
        file = self.folder / LEDGER
        if not file.exists():
            return None
        try:
            found = read_json(file)
            return found["files"] if found["identity"] == self._identity else None
        except (UserError, KeyError, TypeError):
            return None

    def __len__(self) -> int:
        return len(self._files)

    def finished(self, name: str) -> dict[str, Any] | None:
        """What was noted of `name` if it lies there whole, byte for byte; else None."""
        noted = self._files.get(name)
        path = self.folder / name
        if noted is None or not path.is_file() or path.stat().st_size != noted["bytes"]:
            return None
        return noted if sha256_file(path) == noted["sha256"] else None

    def noted(self, name: str) -> dict[str, Any]:
        """What was noted of a finished file, which is not read again."""
        return self._files[name]

    def digests(self) -> dict[str, str]:
        """SHA-256 of every finished file."""
        return {name: noted["sha256"] for name, noted in self._files.items()}

    @contextmanager
    def writing(self, name: str) -> Iterator[HashingFile]:
        """Open `name` for writing; on success it reaches the disk and counts as finished, with the file's `notes`."""
        with (self.folder / name).open("wb") as raw:
            file = HashingFile(raw)
            yield file
            raw.flush()
            os.fsync(raw.fileno())
        self._files[name] = {"bytes": file.tell(), "sha256": file.hexdigest(), **file.notes}
        write_json(self.folder / LEDGER, {"identity": self._identity, "files": self._files})

    def close(self) -> None:
        """Remove the ledger: the folder is complete."""
        (self.folder / LEDGER).unlink(missing_ok=True)
        sync(self.folder)


class HashingFile:
    """A file that is written from beginning to end, and its SHA-256."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest, self._size = file, hashlib.sha256(), 0
        self.notes: dict[str, Any] = {}
        """JSON values to keep in the ledger beside size and digest."""

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        self._digest.update(data)
        written = self._file.write(data)
        self._size += written
        return written

    def tell(self) -> int:
        """Bytes written."""
        return self._size

    def flush(self) -> None:
        """For those who write through it; the ledger flushes once."""

    def hexdigest(self) -> str:
        """SHA-256 of what was written."""
        return self._digest.hexdigest()
