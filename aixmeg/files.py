"""Writing that leaves either the old file or the whole new one, and the readers that go with it."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from aixmeg.errors import UserError


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path`; on success fsync it and rename it, on failure remove it.

    Raises:
        UserError: the folder cannot be written, or the disk is full; `path` is untouched.
    """
    # Processes of several machines may share the folder.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        binary = "b" in mode
        with temporary.open(mode, encoding=None if binary else "utf-8", newline=None if binary else "") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself may be what is wrong
            temporary.unlink()


def write_error(path: Path, error: OSError) -> UserError:
    """What to tell a user whose disk refused a write."""
    return UserError(f"cannot write {path}: {error.strerror or error}; nothing was left half-written, free space or "
                     "choose another folder and run the command again")  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=1, ensure_ascii=False, default=str)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: missing, unreadable, or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def read_jsonl(path: Path) -> Iterator[Any]:
    """Yield the records of a JSON-lines file; only b"\\n" separates them (U+2028 may stand inside a string)."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise UserError(f"{path}, line {number}: not JSON ({error}); build it again") from error


def read_records(path: Path) -> list[dict[str, Any]]:
    """Records of a JSON-lines file that is being written; a half-written last line, and a broken one, are left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def sync(path: Path) -> None:
    """Make a file's bytes, or the renames inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(temporary: Path, final: Path) -> None:
    """Put the finished folder `temporary` in the place of `final`, which may exist.

    Where the file system can exchange names (Linux, local disks), `final` is there at every moment.
    """
    old = final.with_name(f".{final.name}.{os.getpid()}.old")
    if not final.exists():
        temporary.rename(final)
    elif _exchange(temporary, final):
        temporary.rename(old)
    else:
        final.rename(old)
        temporary.rename(final)
    sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step, if kernel and file system offer it."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(one), here, os.fsencode(other), swap) == 0


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
