"""Counting what was found, kept and dropped, so that nothing is lost without a name."""

from __future__ import annotations

import hashlib
import resource
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

EXAMPLES: Final = 5
"""Paths remembered per reason."""
AUDIT: Final = 20
"""Audit records remembered per kind."""


@dataclass
class Count:
    """Files and their bytes, as the sources hold them."""

    files: int = 0
    bytes: int = 0

    def add(self, files: int, size: int) -> None:
        """Count `files` more files of `size` bytes together."""
        self.files += files
        self.bytes += size


@dataclass
class Sample:
    """The items with the smallest hashes, whatever the order in which they come: an even sample of all."""

    limit: int
    items: dict[str, Any] = field(default_factory=dict)
    """By hash and label."""

    def add(self, label: str, item: Any) -> None:
        """Offer an item; `label` tells it from the others."""
        self._offer(hashlib.blake2b(label.encode(errors="surrogatepass"), digest_size=8).hexdigest() + label, item)

    def merge(self, items: dict[str, Any]) -> None:
        """Offer another sample's items."""
        for key, item in items.items():
            self._offer(key, item)

    def values(self) -> list[Any]:
        """The items, sorted by label."""
        return [self.items[key] for key in sorted(self.items, key=lambda key: (key[16:], key))]

    def _offer(self, key: str, item: Any) -> None:
        self.items[key] = item
        if len(self.items) > self.limit:
            del self.items[max(self.items)]


@dataclass
class Tally:
    """Counts of one phase over one shard; tallies of shards and phases add up, in any order."""

    found: Count = field(default_factory=Count)
    skipped_folders: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, dict[str, Count]] = field(default_factory=dict)
    """Step → reason → count."""
    examples: dict[str, Sample] = field(default_factory=dict)
    """By reason: repository/path."""
    kept: dict[str, Count] = field(default_factory=dict)
    """By language."""
    text_bytes: int = 0
    """Of the kept files, as they stand in the corpus."""
    sizes: Counter[str] = field(default_factory=Counter)
    """Kept files by the power of two at or above their length."""
    counts: Counter[str] = field(default_factory=Counter)
    """What the steps did."""
    audit: dict[str, Sample] = field(default_factory=dict)
    """By kind."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds by `phase.step`."""

    def drop(self, step: str, reason: str, size: int, label: str) -> None:
        """Count a dropped file; `label` (repository/path) may become an example."""
        self.dropped.setdefault(step, {}).setdefault(reason, Count()).add(1, size)
        self.example(reason, label)

    def example(self, reason: str, label: str) -> None:
        """Offer an example of a reason."""
        self.examples.setdefault(reason, Sample(EXAMPLES)).add(label, label)

    def keep(self, language: str, size: int, *, text_bytes: int) -> None:
        """Count a kept file of `size` bytes in its source."""
        self.kept.setdefault(language, Count()).add(1, size)
        self.text_bytes += text_bytes
        self.sizes[str(1 << max(0, text_bytes - 1).bit_length())] += 1

    def note(self, label: str, record: dict[str, Any]) -> None:
        """Offer an audit record of a file."""
        kind = str(record.get("kind") or record.get("step") or "other")
        place = str(sorted((key, str(value)) for key, value in record.items()))
        self.audit.setdefault(kind, Sample(AUDIT)).add(f"{label}\0{place}", {"file": label} | record)

    def spend(self, name: str, seconds: float) -> None:
        """Count CPU seconds."""
        self.cpu[name] = self.cpu.get(name, 0.0) + seconds

    def add(self, other: Tally) -> None:
        """Add another tally's counts."""
        self.found.add(other.found.files, other.found.bytes)
        self.text_bytes += other.text_bytes
        for mine, theirs in ((self.skipped_folders, other.skipped_folders), (self.sizes, other.sizes),
                             (self.counts, other.counts)):  # fmt: skip
            mine.update(theirs)
        for name, seconds in other.cpu.items():
            self.spend(name, seconds)
        for step, reasons in other.dropped.items():
            _add_counts(self.dropped.setdefault(step, {}), reasons)
        _add_counts(self.kept, other.kept)
        for samples, theirs in ((self.examples, other.examples), (self.audit, other.audit)):
            for name, sample in theirs.items():
                samples.setdefault(name, Sample(sample.limit)).merge(sample.items)

    def to_json(self) -> dict[str, Any]:
        """For `from_json`."""
        return {one.name: _plain(getattr(self, one.name)) for one in fields(self)}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Tally:
        """The tally that `to_json` described."""
        counters = {name: Counter(tree[name]) for name in ("skipped_folders", "sizes", "counts")}
        samples = {name: {key: Sample(**one) for key, one in tree[name].items()} for name in ("examples", "audit")}
        made: dict[str, Any] = {**counters, **samples}
        return cls(
            found=Count(**tree["found"]),
            text_bytes=tree["text_bytes"],
            dropped={step: _counts(reasons) for step, reasons in tree["dropped"].items()},
            kept=_counts(tree["kept"]),
            cpu=tree["cpu"],
            **made,
        )


def cpu_seconds() -> float:
    """CPU seconds of this process and of the programs that it has run to their end."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def total(counts: Iterable[Count]) -> Count:
    """The sum of counts."""
    result = Count()
    for count in counts:
        result.add(count.files, count.bytes)
    return result


def _plain(value: Any) -> Any:
    if isinstance(value, dict):  # a Counter too, of which `asdict` would make pairs
        return {name: _plain(one) for name, one in value.items()}
    return asdict(value) if isinstance(value, Count | Sample) else value


def _counts(tree: dict[str, Any]) -> dict[str, Count]:
    return {name: Count(**one) for name, one in tree.items()}


def _add_counts(mine: dict[str, Count], theirs: dict[str, Count]) -> None:
    for name, count in theirs.items():
        mine.setdefault(name, Count()).add(count.files, count.bytes)
