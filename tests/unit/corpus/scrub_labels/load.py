"""Lines of real files with what is personal or secret in them marked by hand, and how well a finder does on them.

The lines were drawn by loose patterns (anything with an `@`, four numbers, a word like `password` …) and at random from
packages of PyPI, npm and Debian, and read one by one. Names, addresses and keys were then replaced by invented ones of
the same shape; secrets are kept in parts that are joined here. What a person reading could not decide was left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Span = tuple[str, int, int]
"""Kind, first byte, byte behind the last."""


@dataclass(frozen=True)
class Line:
    """An excerpt and what is to be found in it."""

    text: bytes
    language: str
    spans: tuple[Span, ...]


@dataclass
class Score:
    """Counts of one kind. A labelled span counts as found when a found one of its kind overlaps it, and vice versa."""

    labelled: int = 0
    found_labels: int = 0
    found: int = 0
    right: int = 0
    wrong_lines: list[bytes] = field(default_factory=list)

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of what is labelled that was found."""
        return self.found_labels / self.labelled if self.labelled else 1.0


def labelled_lines() -> list[Line]:
    """All lines, in the file's order."""
    records = json.loads((Path(__file__).parent / "lines.json").read_text(encoding="utf-8"))
    return [
        Line("".join(record["text"]).encode(), record["language"], tuple(tuple(span) for span in record["spans"]))
        for record in records
    ]


def scores(
    find: Callable[[bytes, str], Iterable[Span]], kinds: Iterable[str], merge: Mapping[str, str] | None = None
) -> dict[str, Score]:
    """Kind → its score over all lines. `merge` renames kinds on both sides, for finders that divide otherwise."""
    names = merge or {}
    result = {kind: Score() for kind in kinds}
    for line in labelled_lines():
        found = [(names.get(kind, kind), start, end) for kind, start, end in find(line.text, line.language)]
        labelled = [(names.get(kind, kind), start, end) for kind, start, end in line.spans]
        for kind, score in result.items():
            labels = [span for span in labelled if span[0] == kind]
            hits = [span for span in found if span[0] == kind]
            score.labelled += len(labels)
            score.found_labels += sum(any(_overlap(label, hit) for hit in hits) for label in labels)
            score.found += len(hits)
            right = sum(any(_overlap(label, hit) for label in labels) for hit in hits)
            score.right += right
            if right < len(hits) or len(labels) > sum(any(_overlap(label, hit) for hit in hits) for label in labels):
                score.wrong_lines.append(line.text)
    return result


def labels_by_kind() -> Counter[str]:
    """How many spans of each kind are labelled."""
    return Counter(span[0] for line in labelled_lines() for span in line.spans)


def _overlap(one: Span, other: Span) -> bool:
    return one[1] < other[2] and other[1] < one[2]
