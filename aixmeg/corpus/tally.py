"""Counting what was found, kept and dropped, so that nothing is lost without a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

EXAMPLES: Final = 5
"""Paths remembered per reason: the first ones in corpus order."""


@dataclass
class Count:
    """Files and their bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, files: int, size: int) -> None:
        """Count `files` more files of `size` bytes together."""
        self.files += files
        self.bytes += size


@dataclass
class Tally:
    """Counts of one step over one shard; tallies of shards and steps add up."""

    found: Count = field(default_factory=Count)
    skipped_folders: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, Count] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, Count] = field(default_factory=dict)
    """By language."""
    repositories: list[str] = field(default_factory=list)
    """With a kept file, in corpus order."""

    def drop(self, reason: str, size: int, label: str) -> None:
        """Count a dropped file; `label` (repository/path) may become an example."""
        self.dropped.setdefault(reason, Count()).add(1, size)
        examples = self.examples.setdefault(reason, [])
        if len(examples) < EXAMPLES:
            examples.append(label)

    def keep(self, language: str, size: int, repository: str) -> None:
        """Count a kept file."""
        self.kept.setdefault(language, Count()).add(1, size)
        if repository not in self.repositories[-1:]:
            self.repositories.append(repository)

    def skip_folder(self, reason: str) -> None:
        """Count a folder that is not entered."""
        self.skipped_folders[reason] = self.skipped_folders.get(reason, 0) + 1

    def add(self, other: Tally) -> None:
        """Add the counts of the shard that follows."""
        self.found.add(other.found.files, other.found.bytes)
        for reason, number in other.skipped_folders.items():
            self.skipped_folders[reason] = self.skipped_folders.get(reason, 0) + number
        for mine, theirs in ((self.dropped, other.dropped), (self.kept, other.kept)):
            for name, count in theirs.items():
                mine.setdefault(name, Count()).add(count.files, count.bytes)
        for reason, labels in other.examples.items():
            examples = self.examples.setdefault(reason, [])
            examples += labels[: EXAMPLES - len(examples)]
        self.repositories += [name for name in other.repositories if name not in self.repositories[-1:]]

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Tally:
        """The tally that `to_json` described."""
        dropped, kept = ({key: Count(**one) for key, one in tree[name].items()} for name in ("dropped", "kept"))
        others = {name: tree[name] for name in ("skipped_folders", "examples", "repositories")}
        return cls(found=Count(**tree["found"]), dropped=dropped, kept=kept, **others)


def total(counts: Iterable[Count]) -> Count:
    """The sum of counts."""
    result = Count()
    for count in counts:
        result.add(count.files, count.bytes)
    return result
