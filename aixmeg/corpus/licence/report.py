"""Counts of what was found, for the corpus report. Bounded: rare expressions are summed up when it is written."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from aixmeg.corpus.licence.repository import Decision

_EXAMPLES: Final = 20
_ROWS: Final = 200


class LicenceReport:
    """Add every decision, merge the shards' reports, write JSON."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._repositories: Counter[str] = Counter()
        self._conflicts = 0
        self._examples: list[str] = []

    def add(self, label: str, size: int, decision: Decision) -> None:
        """Count one file; `label` is repository and path, for examples."""
        for key in _keys(decision):
            self._files[key] += 1
            self._bytes[key] += size
        if decision.conflict:
            self._conflicts += 1
            if len(self._examples) < _EXAMPLES:
                self._examples.append(f"{label}: {decision.conflict}")

    def add_repository(self, decision: Decision) -> None:
        """Count one repository by what its root says."""
        self._repositories.update(_keys(decision))

    def merge(self, other: LicenceReport) -> None:
        """Add another report's counts."""
        self._files.update(other._files)
        self._bytes.update(other._bytes)
        self._repositories.update(other._repositories)
        self._conflicts += other._conflicts
        self._examples = (self._examples + other._examples)[:_EXAMPLES]

    def to_json(self) -> dict[str, Any]:
        """{"expressions": {"MIT": {"files", "bytes", "repositories"}}, "classes": …, "evidence": …, "conflicts": …}."""
        result: dict[str, Any] = {"conflicts": {"files": self._conflicts, "examples": self._examples}}
        for group in ("expressions", "classes", "evidence"):
            keys = {
                key for counts in (self._files, self._repositories) for key in counts if key.startswith(f"{group}:")
            }
            ordered = sorted(keys, key=lambda key: (-self._bytes[key], -self._repositories[key], key))
            rows = {key.partition(":")[2]: self._row([key]) for key in ordered[:_ROWS]}
            if rest := ordered[_ROWS:]:
                rows["others"] = self._row(rest)
            result[group] = rows
        return result

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> LicenceReport:
        """The report that `to_json` gave."""
        result = cls()
        result._conflicts = tree["conflicts"]["files"]
        result._examples = list(tree["conflicts"]["examples"])
        for group in ("expressions", "classes", "evidence"):
            for name, row in tree[group].items():
                for counts, field in (
                    (result._files, "files"),
                    (result._bytes, "bytes"),
                    (result._repositories, "repositories"),
                ):
                    if row[field]:
                        counts[f"{group}:{name}"] = row[field]
        return result

    def _row(self, keys: list[str]) -> dict[str, int]:
        counts = {"files": self._files, "bytes": self._bytes, "repositories": self._repositories}
        return {name: sum(one[key] for key in keys) for name, one in counts.items()}


def _keys(decision: Decision) -> tuple[str, str, str]:
    return (f"expressions:{decision.expression or 'none'}", f"classes:{decision.kind}", f"evidence:{decision.by}")
