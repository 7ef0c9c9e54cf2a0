"""Blocks of comments: neighbouring line comments, or one block comment, that have their lines to themselves."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from aixmeg.native.library import data_library
from aixmeg.syntax import SyntaxTree

_COMMENT: Final = re.compile(r"(?:line_|block_|multiline_|doc_|documentation_)?comment")
_STARS: Final = re.compile(rb"\s*\*+(?=\s|$)")  # not `*p = 1;`
_TAB: Final = 4


_CODE_ENDS: Final = 40
"""Lines of a block, in percent, that end in `;` or another byte that sentences rarely end in: 104 of 109 blocks of code
pass, and a third of the prose that reads like code."""


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
    """Blocks that may be code, of at least `min_lines` lines, documentation left out, in document order."""
    marks = MARKS.get(tree.language.grammar or "")
    if marks is None:
        return
    source, kinds = tree.source, _comment_kinds(tree.kinds)
    capacity = len(source) // (2 * min_lines) + 1  # a line has a mark and an end
    found = np.empty((capacity, 3), np.int64)
    columns = (tree.start, tree.end, tree.parent, tree.kind)
    count = _library().aixmeg_comment_runs(
        len(tree.start), *(column.ctypes.data for column in columns), kinds.ctypes.data, source, len(source),
        marks.line, marks.block[0] if marks.block else b"", b"".join(doc + b"\0" for doc in marks.doc),
        min_lines, _CODE_ENDS, found.ctypes.data, capacity,
    )  # fmt: skip
    for start, end, is_block in found[:count].tolist():
        lines = (_of_block_comment if is_block else _of_line_comments)(source[start:end], marks)
        if len(lines) >= min_lines:
            yield Block(start, end, lines)


@functools.cache
def _comment_kinds(kinds: tuple[str, ...]) -> np.ndarray:
    return np.array([_COMMENT.fullmatch(kind) is not None for kind in kinds], np.uint8)


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    pointer, size, text = ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p
    library.aixmeg_comment_runs.restype = size
    library.aixmeg_comment_runs.argtypes = [size, *[pointer] * 5, text, size, *[text] * 3, size, size, pointer, size]
    return library


def _of_line_comments(text: bytes, marks: Marks) -> tuple[bytes, ...]:
    rows = []
    for row in text.rstrip(b"\r\n").split(b"\n"):
        blanks, _, rest = row.partition(marks.line)
        rows.append((len(blanks.expandtabs(_TAB)), rest.lstrip(marks.line[-1:])))
    return _level(rows)


def _of_block_comment(text: bytes, marks: Marks) -> tuple[bytes, ...]:
    assert marks.block is not None
    rows = text.strip().removesuffix(marks.block[1])[len(marks.block[0]) :].split(b"\n")
    if all(_STARS.match(row) for row in rows[1:] if row.strip()):
        rows = [rows[0], *(_STARS.sub(b"", row) for row in rows[1:])]
    while rows and not rows[0].strip():
        rows.pop(0)
    while rows and not rows[-1].strip():
        rows.pop()
    return _level([(0, row) for row in rows])


def _level(rows: list[tuple[int, bytes]]) -> tuple[bytes, ...]:
    """The texts at their columns, moved left as far as all of them allow."""
    texts = [(b" " * column + text).expandtabs(_TAB).rstrip() for column, text in rows]
    margin = min((len(text) - len(text.lstrip()) for text in texts if text), default=0)
    return tuple(text[margin:] for text in texts)
