"""What every kind of source is cut into: ranges that can be read again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading


class Part(Protocol):
    """A range of one repository, archive or table: a frozen dataclass of strings, numbers and tuples of strings."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """What a message calls it."""
        ...

    @property
    def files(self) -> int:
        """Estimate of the number of documents."""
        ...

    @property
    def bytes(self) -> int:
        """Estimate of the source bytes."""
        ...

    def documents(self, reading: Reading) -> Iterator[RawDocument]:
        """Every document in order; calls `reading.take()` once for each, and leaves out those it refuses."""
        ...

    def signals(self) -> dict[str, dict[str, float]]:
        """Signals of the repositories that begin in this range."""
        ...
