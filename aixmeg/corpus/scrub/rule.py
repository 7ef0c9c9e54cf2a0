"""What a rule is, and the judgement of strings that all rules share."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol


class Finding(NamedTuple):
    """Bytes of a file to be replaced."""

    start: int
    end: int
    kind: str
    """Key of `SCRUB_KINDS`."""
    form: str
    """Key of the placeholder table: what is put in its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file as the rules see it."""

    text: bytes
    language: str


class Rule(Protocol):
    """One kind of data. `triggers` say which lines are worth a look, `find` looks at such a line."""

    kind: str

    @property
    def triggers(self) -> tuple[bytes, ...]:
        """Patterns that Python's `re` and Hyperscan read alike: bytes, no anchors, no look-around, no line feed. The
        line in which a match of one ends is looked at."""
        ...

    def find(self, source: Source, start: int, end: int) -> Iterable[Finding]:
        """The findings that begin in the line at text[start:end]."""
        ...


_DUMMY: Final = re.compile(
    rb"(?i)example|change.?me|placeholder|your|dummy|sample|fake|redact|replace|insert|hidden|masked|default|"
    rb"x{4}|x-x|\*{3}|\.{3}|123456|12345$|abcdef|abc123|qwerty|foobar|foo|bar|baz|test|mock|invalid|wrong|secret|passw|"
    rb"token|todo|none$|null$|undefined$|deadbeef|0{6}|1{6}|lorem"
)
"""What values that are no secrets are made of, in documentation and tests."""
_TEMPLATE: Final = re.compile(
    rb"\$[{(]|^\$\w+$|\{\w*\}|\{\{|<[^<>]*>|%\(|%[sdvr](?!\w)|%\w+%|\(\)|\[\w*\]|`|^env[.:]|^process\.|^vault:|^ref:|^[&!@]"
)
"""Marks of a value that is put in later."""
_WORDS: Final = re.compile(rb"[A-Za-z]+([_\-.:/ +]?[A-Za-z]+)*[_\-.:]?\d{0,2}")
_UUID: Final = re.compile(rb"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HOST_PORT: Final = re.compile(rb"[A-Za-z0-9.\-]+:\d{2,5}")


def entropy(value: bytes) -> float:
    """Shannon entropy in bits per byte, of the value's own byte frequencies."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0


def is_dummy(value: bytes) -> bool:
    """Whether a value says itself that it is none: `changeme`, `${PASSWORD}`, `xxxx`, one character repeated."""
    return len(set(value)) < 4 or bool(_DUMMY.search(value) or _TEMPLATE.search(value))


def is_random(value: bytes) -> bool:
    """Whether a value looks like it was drawn by a machine: no words, no UUID, letters and digits of high entropy."""
    if len(value) < 9 or is_dummy(value) or _UUID.fullmatch(value) or _WORDS.fullmatch(value) or sequence(value):
        return False
    digits, letters = len(re.findall(rb"[0-9]", value)), len(re.findall(rb"[A-Za-z]", value))
    mixed = len(value) >= 16 and not (value.islower() or value.isupper()) and entropy(value) >= 3.8
    return letters >= 2 and (digits >= 2 or (digits == 1 and mixed)) and entropy(value) >= 2.8


def sequence(value: bytes) -> bool:
    """Whether most bytes follow their neighbour by one, as in 0123456789abcdef and ABCDEFGH."""
    steps = sum(after - before == 1 for before, after in itertools.pairwise(value))
    return steps * 2 > len(value)


def is_password(value: bytes) -> bool:
    """Whether a value that a password is set to can be one: no word, no template, no dummy, no host:port."""
    if len(value) < 5 or is_dummy(value) or value[:1] in b"./-#:=," or b"://" in value:
        return False
    bare = value.rstrip(b"!?.:;,")
    if _WORDS.fullmatch(bare) or _UUID.fullmatch(bare) or _HOST_PORT.fullmatch(bare) or sequence(bare):
        return False
    return bool(re.search(rb"[A-Za-z]", bare) and re.search(rb"[^A-Za-z_\-.:/ ]", bare))


def matches(pattern: re.Pattern[bytes], source: Source, start: int, end: int) -> Iterator[re.Match[bytes]]:
    """Matches that begin in the line; look-behind sees what stands before it."""
    return pattern.finditer(source.text, start, end)


def alternatives(words: Iterable[str]) -> bytes:
    """A pattern of literal words, the longest first."""
    return b"|".join(re.escape(word.encode()) for word in sorted(words, key=lambda word: (-len(word), word)))
