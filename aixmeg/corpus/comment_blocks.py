"""Blocks of comments: neighbouring line comments, or one block comment, that have their lines to themselves."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from aixmeg.syntax import SyntaxTree

_COMMENT: Final = re.compile(r"(?:line_|block_|multiline_|doc_|documentation_)?comment")
_STARS: Final = re.compile(rb"\s*\*+(?=\s|$)")  # not `*p = 1;`
_BLANKS: Final = b" \t\r"
_TAB: Final = 4
_NEAR: Final = 200
"""Most blanks between two comments of a block."""


@dataclass(frozen=True)
class Marks:
    """How the comments of a language begin and end."""

    line: bytes
    """Also repeated: `##`."""
    block: tuple[bytes, bytes] | None = None
    doc: tuple[bytes, ...] = ()
    """Beginnings of documentation, which is left alone."""


_SLASHES: Final = Marks(b"//", (b"/*", b"*/"), (b"///", b"//!", b"/**", b"/*!"))
_HASH: Final = Marks(b"#", None, (b"#'", b"#!", b"#:", b"#|", b"#="))
_DASHES: Final = Marks(b"--", None, (b"---", b"-- |", b"--|", b"-- ^", b"--["))
_PERCENT: Final = Marks(b"%")
_FAMILIES: Final = (
    (_SLASHES, """actionscript c cpp csharp cuda dart glsl go groovy java javascript kotlin objc php rust scala solidity
        swift tsx typescript verilog zig"""),
    (_HASH, "bash cmake gdscript julia perl powershell python r ruby"),
    (_DASHES, "ada lua vhdl"),
    (_PERCENT, "erlang matlab"),
)  # fmt: skip
MARKS: Final = {grammar: marks for marks, grammars in _FAMILIES for grammar in grammars.split()}
"""By grammar. Others are left alone: their comments cannot be told from code or from prose well enough."""


@dataclass(frozen=True)
class Block:
    """Whole lines of a file, all of them comment."""

    start: int
    """First byte of the first line."""
    end: int
    """Behind the last line's end."""
    lines: tuple[bytes, ...]
    """What the comment says: no marks, indentation as far as the lines differ in it."""


def find_blocks(tree: SyntaxTree, min_lines: int) -> Iterator[Block]:
    """Blocks of at least `min_lines` lines, documentation left out, in document order."""
    marks = MARKS.get(tree.language.grammar or "")
    is_comment = _comment_kinds(tree.kinds)
    found = np.flatnonzero(is_comment[tree.kind])
    if marks is None or not len(found):
        return
    # One copy of each: Rust has comments inside comments.
    found = found[~is_comment[tree.kind[tree.parent[found]]]]
    start, end = tree.start[found].astype(np.int64), tree.end[found].astype(np.int64)
    for first, last in _candidates(start, end, min_lines):
        if first == last:
            block = _of_block_comment(tree.source, int(start[first]), int(end[first]), marks)
            blocks = [] if block is None else [block]
        else:
            blocks = _of_line_comments(
                tree.source, start[first : last + 1].tolist(), end[first : last + 1].tolist(), marks
            )
        yield from (block for block in blocks if len(block.lines) >= min_lines)


@functools.cache
def _comment_kinds(kinds: tuple[str, ...]) -> np.ndarray:
    return np.array([_COMMENT.fullmatch(kind) is not None for kind in kinds])


def _candidates(start: np.ndarray, end: np.ndarray, min_lines: int) -> Iterator[tuple[int, int]]:
    """Runs of comments near each other, and single ones that are long enough: cheap, as most files have none."""
    breaks = np.flatnonzero(start[1:] - end[:-1] > _NEAR) + 1
    first = np.concatenate(([0], breaks))
    last = np.concatenate((breaks, [len(start)])) - 1
    long = (last - first + 1 >= min_lines).nonzero()[0]
    yield from ((int(first[run]), int(last[run])) for run in long if first[run] != last[run])
    wide = (end - start >= 4 * min_lines).nonzero()[0]
    yield from ((int(one), int(one)) for one in wide)


def _line_start(source: bytes, offset: int) -> int:
    return source.rfind(b"\n", 0, offset) + 1


def _of_line_comments(source: bytes, start: list[int], end: list[int], marks: Marks) -> list[Block]:
    blocks: list[Block] = []
    rows: list[tuple[int, bytes]] = []  # column of the mark, text behind it
    begin = stop = -1

    def close() -> None:
        nonlocal rows
        if rows:
            blocks.append(Block(begin, stop, _level(rows)))
        rows = []

    for at, until in zip(start, end, strict=True):
        line = _line_start(source, at)
        text = source[at:until].rstrip(b"\r\n")
        whole = not source[line:at].strip(_BLANKS) and b"\n" not in text
        if not whole or not text.startswith(marks.line) or text.startswith(marks.doc):
            close()
            continue
        if rows and line != stop:
            close()
        if not rows:
            begin = line
        newline = source.find(b"\n", at)
        stop = len(source) if newline < 0 else newline + 1
        rest = text[len(marks.line) :].lstrip(marks.line[-1:])
        rows.append((len(source[line:at].expandtabs(_TAB)), rest))
    close()
    return blocks


def _of_block_comment(source: bytes, start: int, end: int, marks: Marks) -> Block | None:
    text = source[start:end]
    if marks.block is None or not text.startswith(marks.block[0]) or text.startswith(marks.doc) or b"\n" not in text:
        return None
    line = _line_start(source, start)
    newline = source.find(b"\n", end)
    stop = len(source) if newline < 0 else newline + 1
    if source[line:start].strip(_BLANKS) or source[end:stop].strip():
        return None
    inside = text.removesuffix(marks.block[1])[len(marks.block[0]) :].split(b"\n")
    if all(_STARS.match(row) for row in inside[1:] if row.strip()):
        inside = [inside[0], *(_STARS.sub(b"", row) for row in inside[1:])]
    rows = [(0, row) for row in inside]
    while rows and not rows[0][1].strip():
        rows.pop(0)
    while rows and not rows[-1][1].strip():
        rows.pop()
    return Block(line, stop, _level(rows))


def _level(rows: list[tuple[int, bytes]]) -> tuple[bytes, ...]:
    """The texts at their columns, moved left as far as all of them allow."""
    texts = [(b" " * column + text).expandtabs(_TAB).rstrip() for column, text in rows]
    margin = min((len(text) - len(text.lstrip()) for text in texts if text), default=0)
    return tuple(text[margin:] for text in texts)
