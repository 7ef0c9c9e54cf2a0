"""The comment at the top of a source file, in any language's comment syntax."""

from __future__ import annotations

import re
from typing import Final

_LINE: Final = re.compile(
    rb"\s*(?:#|//|--|;|%|'|\*|\.\\\"|\"(?!\"\")|!|dnl\b|rem\b|REM\b|C\s|@c\b|@REM\b|\|\*|\\\\|\.\.\s)"
)
_OPENERS: Final = (
    (b"/*", b"*/"), (b'"""', b'"""'), (b"'''", b"'''"), (b"<!--", b"-->"), (b"{-", b"-}"), (b"(*", b"*)"),
    (b"--[[", b"]]"), (b"#|", b"|#"), (b"=begin", b"=end"), (b"=pod", b"=cut"), (b"=head", b"=cut"), (b"<#", b"#>"),
    (b"{#", b"#}"), (b"%{", b"%}"), (b"r\"\"\"", b'"""'), (b"u\"\"\"", b'"""'), (b"{", b"}"),
)  # fmt: skip
_ANY: Final = tuple(pair[0] for pair in _OPENERS)
_CODE_LINES: Final = 8
"""Lines of code (package, include guard, `<?php`) that may stand before or between the comments."""


def leading_comment(text: bytes) -> bytes:
    """The comments among the first lines: everything up to the ninth line that is neither a comment nor blank.

    Approximate on purpose: no grammar is needed, and what is lost is a notice below eight lines of code.
    """
    kept: list[bytes] = []
    closer = b""
    code = 0
    for line in text.splitlines():
        bare = line.strip()
        if closer:
            kept.append(line)
            if closer in bare:
                closer = b""
            continue
        if not bare:
            continue
        opened = next((pair for pair in _OPENERS if bare.startswith(pair[0])), None) if bare.startswith(_ANY) else None
        if opened:
            kept.append(line)
            if opened[1] not in bare[len(opened[0]) :]:
                closer = opened[1]
        elif _LINE.match(line):
            kept.append(line)
        else:
            code += 1
            if code > _CODE_LINES:
                break
    return b"\n".join(kept)
