"""Comparing two pieces of code as text. All scores lie between 0 and 1."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aixmeg.subsequence import similarity

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.DOTALL)
_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_JAVA: Final = """abstract assert boolean break byte case catch char class const continue default do double else enum
extends final finally float for goto if implements import instanceof int interface long native new package private
protected public return short static strictfp super switch synchronized this throw throws transient try void volatile
while true false null"""
_JAVASCRIPT: Final = """await break case catch class const continue debugger default delete do else enum export extends
false finally for function if implements import in instanceof interface let new null package private protected public
return super switch static this throw try true typeof var void while with yield"""
_TYPESCRIPT: Final = (
    " any as boolean constructor declare from get module namespace number of require set string symbol type"
)
_CSHARP: Final = """abstract as base bool break byte case catch char checked class const continue decimal default
delegate do double else enum event explicit extern false finally fixed float for foreach goto if implicit in int
interface internal is lock long namespace new null object operator out override params private protected public
readonly ref return sbyte sealed short sizeof stackalloc static string struct switch this throw true try typeof uint
ulong unchecked unsafe ushort using virtual void volatile while"""
_CPP: Final = """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class
compl concept const constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit
export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr
operator or or_eq private protected public register reinterpret_cast requires return short signed sizeof static
static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename union
unsigned using virtual void volatile wchar_t while xor xor_eq"""

KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "python": frozenset(keyword.kwlist),
    "java": frozenset(_JAVA.split()),
    "javascript": frozenset(_JAVASCRIPT.split()),
    "typescript": frozenset((_JAVASCRIPT + _TYPESCRIPT).split()),
    "c#": frozenset(_CSHARP.split()),
    "c++": frozenset(_CPP.split()),
}
"""Reserved words by name in `aixmeg.languages`."""


def exact_match(completion: str, reference: str) -> bool:
    """Whether both are the same but for blanks at their ends."""
    return completion.strip() == reference.strip()


def lines_match(completion: str, reference: str) -> bool:
    """Whether both have the same lines, blanks at the lines' ends and empty lines aside (CrossCodeEval's rule)."""
    return _lines(completion) == _lines(reference)


def _lines(text: str) -> list[str]:
    return [stripped for line in text.split("\n") if (stripped := line.strip())]


def edit_similarity(completion: str, reference: str) -> float:
    """2 · LCS / (both lengths) on stripped text, `fuzz.ratio` / 100; two empty texts are the same."""
    return similarity(completion.strip(), reference.strip())


@dataclass(frozen=True)
class IdentifierScore:
    """CrossCodeEval's second pair of numbers."""

    exact: bool
    """The same names in the same order."""
    f1: float
    """Of the sets of names; 0 where neither side has one, as in CrossCodeEval's scorer."""


def names_in(code: str, language: str) -> list[str]:
    """Names in the order of their appearance, without reserved words and without what stands in strings."""
    reserved = KEYWORDS.get(language, frozenset())
    return [name for name in _NAME.findall(_STRING.sub("", code)) if name not in reserved]


def identifiers(completion: str, reference: str, language: str) -> IdentifierScore:
    """Compare the names of two pieces of code."""
    ours, theirs = names_in(completion, language), names_in(reference, language)
    common = len(set(ours) & set(theirs))
    total = len(set(ours)) + len(set(theirs))
    return IdentifierScore(ours == theirs, 2 * common / total if total else 0.0)
