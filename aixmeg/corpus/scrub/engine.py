"""Finds the lines that are worth a rule's look: by Hyperscan where its wheel exists, google-re2 or `re` elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from aixmeg.corpus.scrub.rule import Rule

EngineName = Literal["hyperscan", "re2", "re"]
HotLines = Callable[[bytes], list[tuple[int, int, int]]]
"""text → (rule's index, line's start, line's end without its line feed), each once, in a fixed order."""

_LIMIT: Final = (1 << 32) - 1  # Hyperscan counts the bytes of a block in 32 bits


def engine() -> EngineName:
    """The engine that a step will use here. All give the same lines; re2 (google-re2) takes ten times the time of
    Hyperscan, `re` a hundred times."""
    if importlib.util.find_spec("hyperscan"):
        return "hyperscan"
    return "re2" if importlib.util.find_spec("re2") else "re"


def make_hot_lines(rules: Sequence[Rule], name: EngineName | None = None) -> HotLines:
    """Compile the rules' triggers.

    Args:
        rules: a line is reported for a rule when a match of one of its triggers ends in the line.
        name: None chooses by `engine()`.
    """
    name = name or engine()
    return _hyperscan(rules) if name == "hyperscan" else _searches(rules, importlib.import_module(name))


def _hyperscan(rules: Sequence[Rule]) -> HotLines:
    hyperscan = importlib.import_module("hyperscan")  # has no wheel for some machines: type checkers may lack it
    triggers = [(trigger, index) for index, rule in enumerate(rules) for trigger in rule.triggers]
    database = hyperscan.Database()
    database.compile(
        expressions=[trigger for trigger, _ in triggers],
        ids=[index for _, index in triggers],
        flags=[0] * len(triggers),
    )
    slow = _searches(rules, re)

    def hot_lines(text: bytes) -> list[tuple[int, int, int]]:
        if len(text) > _LIMIT:
            return slow(text)
        hits: list[tuple[int, int]] = []

        def on_match(rule: int, _start: int, end: int, _flags: int, _context: Any) -> None:
            hits.append((end, rule))

        database.scan(text, match_event_handler=on_match)
        # Several triggers of one rule end in one line; the line is looked up once, however long it is.
        hits.sort()
        found: dict[tuple[int, int, int], None] = {}
        line_start = line_end = -1
        for end, rule in hits:
            if end > line_end:
                line_start = text.rfind(b"\n", 0, end) + 1
                line_end = _line_end(text, end)
            found[rule, line_start, line_end] = None
        return sorted(found)

    return hot_lines


def _searches(rules: Sequence[Rule], module: Any) -> HotLines:
    compiled = [[module.compile(trigger) for trigger in rule.triggers] for rule in rules]

    def hot_lines(text: bytes) -> list[tuple[int, int, int]]:
        found: set[tuple[int, int, int]] = set()
        for index, patterns in enumerate(compiled):
            for pattern in patterns:
                position = 0
                while match := pattern.search(text, position):
                    position = _line_end(text, match.end())
                    found.add((index, text.rfind(b"\n", 0, match.end()) + 1, position))
        return sorted(found)

    return hot_lines


def _line_end(text: bytes, position: int) -> int:
    end = text.find(b"\n", position)
    return len(text) if end < 0 else end
