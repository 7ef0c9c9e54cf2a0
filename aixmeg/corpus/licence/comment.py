"""The comment at the top of a source file, in any language's comment syntax."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal

_DIRECTIVE: Final = re.compile(
    rb"#(?:!?\[|\s*(?:include|define|undef|if|ifdef|ifndef|elif|else|endif|pragma|import|error|line|region)\b)"
)
"""Of the C preprocessor and of Rust: no comments, but they do not end the comment at the top either."""
_LINE: Final = re.compile(
    rb"#|//|--|;|%|\*|\.\\\"|!|dnl\b|rem\b|REM\b|C\s|@c\b|@REM\b|\|\*|\\\\|\.\.\s"
)  # fmt: skip
_OPENERS: Final = (
    (b"/*", b"*/"), (b'"""', b'"""'), (b"'''", b"'''"), (b"<!--", b"-->"), (b"{-", b"-}"),
    (b"(* ", b"*)"), (b"(**", b"*)"),
    (b"--[[", b"]]"), (b"#|", b"|#"), (b"=begin", b"=end"), (b"=pod", b"=cut"), (b"=head", b"=cut"), (b"<#", b"#>"),
    (b"{#", b"#}"), (b"%{", b"%}"), (b'r"""', b'"""'), (b'u"""', b'"""'),
)  # fmt: skip
_ANY: Final = tuple(pair[0] for pair in _OPENERS)
_CODE_LINES: Final = 8
"""Lines of code (package, imports, `<?php`) that may stand before or between the comments."""


def leading_comment(text: bytes) -> bytes:
    """The comments among the first lines: everything up to the ninth line of code.

    Approximate on purpose: no grammar is needed, and what is lost is a notice further down.
    """
    kept: list[bytes] = []
    code = 0
    for line, kind in _lines(text):
        if kind in ("comment", "quote"):
            kept.append(line)
        elif kind == "code":
            code += 1
            if code > _CODE_LINES:
                break
    return b"\n".join(kept)


def only_comments(text: bytes) -> bool:
    """Whether no line holds anything but comments, blanks and punctuation."""
    return not any(kind != "comment" and re.search(rb"\w", line) for line, kind in _lines(text))


def _lines(text: bytes) -> Iterator[tuple[bytes, Literal["comment", "code", "directive", "quote"]]]:
    """The lines that are not blank, each with what it is; a lone quote begins a comment (Basic, Vim) or a string."""
    closer = b""
    for line in text.splitlines():
        bare = line.strip()
        if closer:
            yield line, "comment"
            if closer in bare:
                closer = b""
        elif not bare:
            continue
        elif bare.startswith(_ANY):
            opener, ends = next(pair for pair in _OPENERS if bare.startswith(pair[0]))
            yield line, "comment"
            if ends not in bare[len(opener) :]:
                closer = ends
        elif bare[0] == 35 and _DIRECTIVE.match(bare):
            yield line, "directive"
        elif bare[0] in b"'\"":
            yield line, "quote" if bare.count(bare[:1]) == 1 else "code"
        else:
            yield line, "comment" if _LINE.match(bare) else "code"
