"""Counts of examples, as nested dictionaries of numbers that add up over files, repositories and parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from aixmeg.data.encode import Encoded

ORDERED: Final = ("middle_lengths",)
"""Tables whose keys are numbers and stay in their order."""


class Tally:
    """Totals of neighbouring files."""

    def __init__(self) -> None:
        self._sizes: dict[tuple[str, str, str, str], list[int]] = {}
        self._nodes: Counter[str] = Counter()
        self._lengths: Counter[int] = Counter()
        self._without: Counter[tuple[str, str]] = Counter()
        self._middle_tokens = self._in_front = 0

    def add(self, encoded: Encoded) -> None:
        """Count a file."""
        choice, source = encoded.choice, encoded.source
        key = choice.objective, choice.mode, source.language, choice.strategy
        size = self._sizes.setdefault(key, [0, 0, 0])
        size[0] += 1
        size[1] += source.bytes
        size[2] += len(encoded.example.ids)
        self._in_front += encoded.in_front
        if choice.without_tree:
            self._without[choice.without_tree, source.language] += 1
        if choice.span is not None:
            length = encoded.example.middle_length
            self._middle_tokens += length
            self._lengths[1 << length.bit_length() >> 1] += 1
            if choice.objective == "sfim":
                self._nodes[choice.span.kind] += 1

    def totals(self) -> dict[str, Any]:
        """The counts so far.

        Returns:
            `files`, `bytes`, `tokens`, `middle_tokens`, `files_in_front` (plain files before another one of the same
            example); by objective, mode and language the same three sizes; by strategy and by node kind the number of
            middles; `middle_lengths`: middles of k to 2k - 1 tokens by k, a power of two, or 0; `without_tree`: by
            reason and language, the files for which structured FIM was drawn and could not be.
        """
        tables: dict[str, dict[str, dict[str, int]]] = {"by_objective": {}, "by_mode": {}, "by_language": {}}
        strategies: Counter[str] = Counter()
        totals: dict[str, Any] = {"files": 0, "bytes": 0, "tokens": 0}
        for (objective, mode, language, strategy), (files, size, tokens) in self._sizes.items():
            one = {"files": files, "bytes": size, "tokens": tokens}
            add_totals(totals, one)
            for table, name in zip(tables.values(), (objective, mode, language), strict=True):
                add_totals(table, {name: one})
            if strategy:
                strategies[strategy] += files
        without: dict[str, dict[str, int]] = {}
        for (reason, language), files in self._without.items():
            add_totals(without, {reason: {language: files}})
        return totals | {
            "middle_tokens": self._middle_tokens,
            "files_in_front": self._in_front,
            **tables,
            "by_strategy": dict(strategies),
            "by_node": dict(self._nodes),
            "middle_lengths": {str(length): count for length, count in self._lengths.items()},
            "without_tree": without,
        }


def add_totals(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add every number of `more` to its place in `into`."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            add_totals(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + value


def sorted_totals(totals: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the inner tables in an order of their own: larger first, then by name; `ORDERED` ones by number."""
    return {
        key: _sorted(value, by_number=key in ORDERED) if isinstance(value, Mapping) else value
        for key, value in totals.items()
    }


def _sorted(table: Mapping[str, Any], *, by_number: bool) -> dict[str, Any]:
    def weight(item: tuple[str, Any]) -> tuple[int, str]:
        return (int(item[0]), "") if by_number else (-files_of(item[1]), item[0])

    # Of a table of tables the inner ones have an order too, sizes aside.
    ordered = {
        name: _sorted(value, by_number=False) if isinstance(value, Mapping) and "files" not in value else value
        for name, value in table.items()
    }
    return dict(sorted(ordered.items(), key=weight))


def files_of(value: Any) -> int:
    """Number of files that an entry of a table counts."""
    if not isinstance(value, Mapping):
        return value
    return value["files"] if "files" in value else sum(map(files_of, value.values()))
