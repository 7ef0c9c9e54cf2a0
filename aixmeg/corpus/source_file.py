"""One kept file, and the reader of a finished corpus.

A shard is three files: `shard-00000.jsonl` with a line per file, `shard-00000.spans` with their syntax, and
`shard-00000.index.npy`, which tells where both stand (`INDEX`), so that a reader may begin anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.errors import UserError
from aixmeg.files import read_json, read_jsonl

SHARD_FILES: Final = ("jsonl", "spans", "index.npy")
INDEX: Final = np.dtype([("line", "<u8"), ("spans", "<u8"), ("spans_bytes", "<u8")])
"""Per file: where its line begins, where its syntax begins in `.spans`, and how long that is (0: it has none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A line of a shard."""

    repository: str
    """Name of the repository; its files stand one after the other."""
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
    licence: str | None = None
    """SPDX expression; None where it is not known."""
    tags: dict[str, Any] = field(default_factory=dict)
    """What else the steps found."""

    def to_line(self) -> bytes:
        r"""The JSON line, ending in b"\n" and holding no other; U+2028 and the like stand as they are."""
        record = {name: getattr(self, name) for name in _FIELDS}
        record |= {name: value for name in _OPTIONAL if (value := getattr(self, name))}
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"


_OPTIONAL: Final = ("licence", "tags")
_FIELDS: Final = tuple(one.name for one in fields(SourceFile) if one.name not in _OPTIONAL)


def shard_name(number: int, kind: str = "jsonl") -> str:
    """Name of one of a shard's files."""
    return f"shard-{number:05d}.{kind}"


def read_corpus(folder: Path) -> Iterator[SourceFile]:
    """Yield the kept files of a finished corpus, one repository after the other, in a random order of repositories.

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


def read_index(shard: Path) -> np.ndarray | None:
    """The rows of `INDEX` of `shard-00000.jsonl`, in the order of its lines; None for a corpus without them."""
    path = shard.with_suffix(".index.npy")
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.is_file() else None
