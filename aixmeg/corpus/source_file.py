"""One kept file, and the reader of a finished corpus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from aixmeg.errors import UserError
from aixmeg.files import read_json, read_jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A line of a shard."""

    repository: str
    """Name of the repository; its files stand one after the other, in path order."""
    path: str
    """Path inside the repository, with `/`."""
    language: str
    """Key of `aixmeg.languages.LANGUAGES`."""
    text: str
    """The whole file; `text.encode()` gives its bytes, byte order mark and CRLF included."""
    bytes: int
    """Length of those bytes."""
    sha256: str
    """Their digest, in hexadecimal."""
    error_share: float
    """Share of the bytes inside syntax errors, 0 to 1."""

    def to_line(self) -> bytes:
        r"""The JSON line, ending in b"\n" and holding no other; U+2028 and the like stand as they are."""
        return json.dumps(asdict(self), ensure_ascii=False).encode() + b"\n"


def shard_name(number: int) -> str:
    """File name of a shard."""
    return f"shard-{number:05d}.jsonl"


def read_corpus(folder: Path) -> Iterator[SourceFile]:
    """Yield the kept files of a finished corpus, repositories in sorted order.

    Raises:
        UserError: the corpus is not there, unfinished, or damaged.
    """
    if not (folder / "report.json").is_file():
        raise UserError(f"there is no finished corpus in {folder}; run `aixmeg corpus build`")
    for number in range(read_json(folder / "report.json")["shards"]):
        shard = folder / shard_name(number)
        if not shard.is_file():
            raise UserError(f"{shard} is missing; run `aixmeg corpus build` again")
        for record in read_jsonl(shard):
            try:
                yield SourceFile(**record)
            except TypeError as error:
                raise UserError(
                    f"{shard}: not a line of a corpus ({error}); run `aixmeg corpus build` again"
                ) from error
