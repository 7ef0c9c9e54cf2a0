"""Counts of examples, as nested dictionaries of numbers that add up over files, repositories and parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aixmeg.corpus import SourceFile
from aixmeg.sfim.choose import Choice
from aixmeg.sfim.format import Example


def totals_of(source: SourceFile, example: Example, choice: Choice) -> dict[str, Any]:
    """What one file adds."""
    size = {"files": 1, "bytes": source.bytes, "tokens": len(example.ids)}
    totals: dict[str, Any] = size | {
        "middle_tokens": example.middle_length,
        "sfim_without_node": int(choice.without_node),
        "by_objective": {choice.objective: dict(size)},
        "by_mode": {choice.mode: dict(size)},
        "by_language": {source.language: dict(size)},
        "by_node": {},
    }
    if choice.objective == "sfim" and choice.span is not None:
        totals["by_node"] = {choice.span.kind: 1}
    return totals


def add_totals(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add every number of `more` to its place in `into`."""
    for key, value in more.items():
        if isinstance(value, Mapping):
            add_totals(into.setdefault(key, {}), value)
        else:
            into[key] = into.get(key, 0) + value


def sorted_totals(totals: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the inner tables in an order of their own: larger first, then by name."""

    def weight(item: tuple[str, Any]) -> tuple[int, str]:
        name, value = item
        return -(value["files"] if isinstance(value, Mapping) else value), name

    return {
        key: dict(sorted(value.items(), key=weight)) if isinstance(value, Mapping) else value
        for key, value in totals.items()
    }
