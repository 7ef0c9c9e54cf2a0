"""Step 3: of what was read, keep one copy of each content, within each repository's budget. One pass, in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aixmeg.corpus.tally import Tally


@dataclass(frozen=True, slots=True)
class Readable:
    """A candidate that was read and is text."""

    repository: str
    path: str
    language: str
    bytes: int
    sha256: str


def select(files: Iterable[Readable], *, max_repository_bytes: int, tally: Tally) -> Iterator[Readable]:
    """Yield the files to parse: the first copy of each content that fits its repository's budget.

    `files` come in corpus order. A file that would exceed the budget is dropped and the next, perhaps smaller, one is
    tried. Its content counts as not seen, so that a later copy in a repository with room is kept. The budget is spent
    before parsing, so a file that is dropped for syntax errors afterwards has used its part of it.

    Holds 32 bytes per kept file in memory.
    """
    seen: set[bytes] = set()
    repository, used = None, 0
    for file in files:
        if file.repository != repository:
            repository, used = file.repository, 0
        digest = bytes.fromhex(file.sha256)
        if digest in seen:
            tally.drop("exact_duplicate", file.bytes, f"{file.repository}/{file.path}")
        elif max_repository_bytes and used + file.bytes > max_repository_bytes:
            tally.drop("over_repository_budget", file.bytes, f"{file.repository}/{file.path}")
        else:
            seen.add(digest)
            used += file.bytes
            yield file
