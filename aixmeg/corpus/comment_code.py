"""Whether the text of a comment is code: it parses, most of its lines look like code, and it is nobody's example.

Parsing alone is no proof: `TODO: fix this` is a labelled expression in some grammars, and any sentence is a command of
a shell. So lines are read first, which is cheap and settles most blocks, and what is left is parsed.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from aixmeg.corpus.comment_blocks import MARKS
from aixmeg.languages import Language
from aixmeg.syntax import NAMED, ParseLimit, parse

_LONG: Final = 400
"""Bytes of a line past which it is data. Garbage is slow to parse, and the patterns below are quadratic at worst."""
_STRING: Final = re.compile(rb"""(["'`])(?:\\.|(?!\1).)*\1""")
_TRAILING: Final = re.compile(rb"(?:\s//|\s#\s|\s--\s).*|/\*.*?(?:\*/|$)")
_SENTENCE: Final = re.compile(rb"(?:(?<![\w.])[A-Za-z][a-z'-]*[,.:;)]? \(?){3,}[A-Za-z][a-z'-]*(?![\w(=])")
_STRONG: Final = re.compile(
    rb"[;{}]\s*$|[\w>\])!]\(|^\s*[\w.\[\]\"'*&<>,$@: -]{1,60} (?:[-+*/|&^%:?]|<<|>>)?=(?![=>])|^\s*[\w.]+=.*[,;({)]\s*$"
    rb"|=>|\w->\w|^\s*</?[A-Za-z][\w.-]*[\s/>]|^\s*@[\w.]+\s*(?:\(|$)|^\s*#!?\[|[(\[]\s*$|^\s*[\"'][^\"']*[\"']\s*[,:]"
    rb"|^\s*#\s?(?:include|define|if|ifdef|ifndef|endif|else|pragma|undef)\b"
    rb"|^\s*(?:else|try|finally|do|then|begin|end|fi|done|esac)\s*[:{]?\s*$"
)
_WEAK: Final = re.compile(
    rb"^\s*(?:return|import|from|if|for|while|elif|except|catch|def|class|fn|func|function|let|var|const|public|private"
    rb"|protected|static|raise|throw|yield|break|continue|pass|end|use|package|print|echo|case|switch|default|local|goto"
    rb"|assert|del|done|fi|esac|using|require|my|our|next|unless|until)\b|^\s*[+*/?:&|.]+\s?\w|,\s*$"
    rb"|^\s*[\w.\"']+\s*[:<>]\s*\S+\s*$"
)
"""Words that also begin sentences."""
_SURE: Final = re.compile(
    rb"(?:[{(\[]|&&|\|\||=>|[=+]|;\s*(?:then|do))\s*$|^\s*(?:from\s+[\w.]+\s+)?import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+)*\s*$"
)
"""No sentence ends so, or reads so."""
# How programmers begin a note in a corpus's files: prose, though it parses.
_REMARK: Final = re.compile(rb"\s*(?:TODO|FIXME|XXX|NOTE|HACK)\b")
_LEAD: Final = 3
"""Most lines of prose above the code: `TODO: back again when …`."""
_EXAMPLE: Final = re.compile(
    rb"(?i)\be\.g\.|\bi\.e\.|\bexamples?\b|\busage\b|\binstance\b|\blike this\b|\bsuch as\b|\bpseudo|\bsyntax\b"
    rb"|\bequivalent\b|\bcopyright\b|\blicen[sc]ed?\b"
)
_ALOOF: Final = re.compile(
    rb"^\s*(?:>>>|\$ |```|~~~|[@\\](?:param|return|brief|code|see|throws|deprecated)\b|(?i:unordered )?(?i:output:)"
    rb"|(?P<rule>[-=*#~_+/])(?P=rule){4})"
)
"""Examples, documentation and headings."""
_COLON: Final = re.compile(
    rb"^\s*(?:case|default|public|private|protected|if|elif|else|for|while|def|class|with|try|except|finally|async|match"
    rb"|switch|do)\b.*:\s*$"
)
_PAIRS: Final = dict(zip(b"([{", b")]}", strict=True))
_NEUTRAL: Final = re.compile(rb"[\s\[\](){};,]*")
_CODE_KIND: Final = re.compile(
    r"(?!.*(?:identifier|expression_statement|empty_statement|labeled_statement|error))"
    r".*(?:call|invocation|assign|declarat|definition|import|include|return|raise|throw|assert|"
    r"(?:if|for|while|try|with|switch|match|case|do|loop|else|catch|except|elif|goto|break|continue|pass|delete|yield|"
    r"using|print|foreach|echo|export)_(?:statement|clause|expression)|macro|pair|preproc|command|update_expression|_item|element|attribute"
    r"|modifier|lambda|arrow|function|method|class|field|signature|struct|enum|query)s?.*"
)
_COMMAND_LIKE: Final = frozenset({"bash", "ruby", "perl", "powershell", "cmake", "r", "tcl"})
"""Grammars in which a sentence parses."""
_ANYWHERE: Final = ((b"", b"\n"),)
_BODY: Final = (b"void f() {\n", b"\n}\n")
_TABLE: Final = ((b"x = [\n", b"\n]\n"), (b"x = {\n", b"\n}\n"))
_C: Final = (*_ANYWHERE, _BODY, (b"enum A {\n", b"\n};\n"), (b"struct A {\n", b"\n};\n"))
_JAVA: Final = (
    *_ANYWHERE,
    (b"class A { void f() {\n", b"\n} }\n"),
    (b"class A {\n", b"\n}\n"),
    (b"class A { int[] x = {\n", b"\n}; }\n"),
)
_SCRIPT: Final = (*_ANYWHERE, (b"async function f() {\n", b"\n}\n"), (b"class A {\n", b"\n}\n"), *_TABLE)
PLACES: Final = {
    **dict.fromkeys(("c", "cpp", "cuda", "objc"), _C),
    **dict.fromkeys(("java", "csharp"), _JAVA),
    **dict.fromkeys(("javascript", "typescript", "tsx"), _SCRIPT),
    "glsl": (*_ANYWHERE, _BODY),
    "go": ((b"package p\nfunc f() {\n", b"\n}\n"), (b"package p\n", b"\n"), (b"package p\nvar x = []T{\n", b"\n}\n")),
    "php": ((b"<?php\nfunction f() {\n", b"\n}\n"), (b"<?php\nclass A {\n", b"\n}\n")),
    "python": (*_ANYWHERE, (b"if x:\n    pass\n", b"\n"), *_TABLE),
    "rust": ((b"fn f() {\n", b"\n}\n"), (b"impl A {\n", b"\n}\n"), (b"enum A {\n", b"\n}\n")),
    "solidity": ((b"contract A { function f() public {\n", b"\n} }\n"), (b"contract A {\n", b"\n}\n")),
    "verilog": (*_ANYWHERE, (b"module m; initial begin\n", b"\nend endmodule\n")),
    "zig": (*_ANYWHERE, (b"fn f() void {\n", b"\n}\n")),
}  # fmt: skip
"""Where a piece of a grammar's code may stand: what is put before and behind it. Others stand anywhere."""


def is_code(language: Language, lines: tuple[bytes, ...], *, max_error_share: float, min_code_share: float) -> bool:
    """Whether `lines`, a comment without its marks, are code.

    Args:
        language: of the file.
        lines: at least one.
        max_error_share: share of the bytes that may not parse.
        min_code_share: share of the lines that must look like code, and of those that must be inside structures.
    """
    grammar = language.grammar or ""
    most = _LEAD + (1 - min_code_share) * len(lines)
    looks = _looks(lines, comment=MARKS[grammar].line, prose_parses=grammar in _COMMAND_LIKE, most=most)
    if looks is None:
        return False
    for first in _starts(lines, looks):
        said = [number for number in looks if number >= first]
        if sum(looks.values()) >= max(2, min_code_share * len(said)):
            numbers = [number - first for number in said]
            if _parses(language, lines[first:], numbers, max_error_share, min_code_share):
                return True
    return False


def _starts(lines: tuple[bytes, ...], looks: dict[int, bool]) -> Iterator[int]:
    """Numbers of the lines at which code may begin: the first, or one behind a remark.

    An example is set off from the text before it; what was commented out stands where it stood.
    """
    yield 0
    lead = list(itertools.takewhile(lambda number: not looks[number], looks))
    rest = list(looks)[len(lead) :]
    if rest and 0 < len(lead) <= _LEAD:
        margin = min(_indent(lines[number]) for number in lead)
        if min(_indent(lines[number]) for number in rest) <= margin:
            yield rest[0]


def _indent(line: bytes) -> int:
    return len(line) - len(line.lstrip())


def _looks(lines: tuple[bytes, ...], *, comment: bytes, prose_parses: bool, most: float) -> dict[int, bool] | None:
    """Whether each line that says something looks like code, by its number; None for what is left alone.

    More than `most` lines that do not settle it too.
    """
    looks: dict[int, bool] = {}
    misses = 0
    for number, line in enumerate(lines):
        if _NEUTRAL.fullmatch(line) or line.lstrip().startswith(comment):
            continue
        if len(line) > _LONG or _ALOOF.match(line):
            return None
        bare = _TRAILING.sub(b"", _STRING.sub(b'""', line)).rstrip()
        code = _REMARK.match(bare) is None and _is_code_line(bare, prose_parses)
        if bare.endswith(b":") and not _COLON.match(bare):  # `set by calloc():`, then what it sets
            return None
        if not code and _EXAMPLE.search(bare):
            return None
        looks[number] = code
        misses += not code
        if misses > most:
            return None
    return looks


def _is_code_line(bare: bytes, prose_parses: bool) -> bool:
    if _SURE.search(bare) or _COLON.match(bare):
        return True
    looks = _STRONG.search(bare) or (not prose_parses and _WEAK.search(bare))
    return bool(looks) and _SENTENCE.search(bare) is None


def _parses(
    language: Language, lines: tuple[bytes, ...], said: list[int], max_error_share: float, min_share: float
) -> bool:
    """Whether the lines parse in one of the places where code of the language may stand, and are inside structures."""
    text = b"\n".join(lines)
    close = _closers(lines)
    starts = np.cumsum([0, *(len(line) + 1 for line in lines[:-1])])[said]
    first = starts + np.array([_indent(lines[number]) for number in said])
    last = starts + np.array([len(lines[number]) - 1 for number in said])
    for before, after in PLACES.get(language.grammar or "", _ANYWHERE):
        try:
            tree = parse(language, before + text + close + after)
        except ParseLimit:
            return False
        if tree.error_bytes > max_error_share * len(text):
            continue
        keep = _code_kinds(tree.kinds)[tree.kind] & (tree.flags & NAMED != 0)
        keep &= (tree.start >= len(before)) & (tree.end <= len(before) + len(text) + len(close) + 1)
        # A structure is on a line when it begins at its last letter or before, and does not end before its first.
        start, end = np.sort(tree.start[keep]), np.sort(tree.end[keep])
        begun = np.searchsorted(start, last + len(before), side="right")
        ended = np.searchsorted(end, first + len(before), side="right")
        if np.count_nonzero(begun > ended) >= min_share * len(said):
            return True
    return False


def _closers(lines: tuple[bytes, ...]) -> bytes:
    """What closes the brackets that the lines leave open: a blank line often cuts commented-out code in two."""
    open_brackets = bytearray()
    for line in lines:
        for byte in _STRING.sub(b"", _TRAILING.sub(b"", line)) if len(line) <= _LONG else b"":
            if byte in _PAIRS:
                open_brackets.append(_PAIRS[byte])
            elif open_brackets and byte == open_brackets[-1]:
                open_brackets.pop()
    return b"\n" + bytes(reversed(open_brackets)) if open_brackets else b""


@functools.cache
def _code_kinds(kinds: tuple[str, ...]) -> np.ndarray:
    return np.array([_CODE_KIND.fullmatch(kind) is not None for kind in kinds])
