"""Commented-out code: blocks of comments that are code are removed with a set probability.

Licences, documentation and examples stay. Whole lines go, and only where the file parses as well as before.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from aixmeg.config.corpus.commented import CommentedConfig
from aixmeg.corpus.comment_blocks import MARKS, Block, find_blocks
from aixmeg.corpus.comment_code import is_code
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.reasons import Dropped
from aixmeg.languages import LANGUAGES

_IMPORT_C: Final = re.compile(rb'\s*import\s+"C"')
"""The comment before it is compiled."""
_SHOWN: Final = 400
"""Bytes of a block in the audit."""


def make_step(config: CommentedConfig) -> Step:
    """A step that removes blocks of commented-out code.

    It counts `commented.blocks` and `commented.lines` found, `commented.removed` and `commented.removed_lines`, and
    `commented.kept_to_parse` files whose removal would have broken them.
    """

    def step(document: Document) -> None:
        language = LANGUAGES[document.language]
        if language.grammar not in MARKS:
            return
        found = [
            block
            for block in find_blocks(document.tree(), config.min_lines)
            if not (language.grammar == "go" and _IMPORT_C.match(document.content, block.end))
            and is_code(
                language, block.lines, max_error_share=config.max_error_share, min_code_share=config.min_code_share
            )
        ]
        if not found:
            return
        document.counts["commented.blocks"] += len(found)
        document.counts["commented.lines"] += sum(len(block.lines) for block in found)
        drawn = [
            block for number, block in enumerate(found) if _uniform(config.seed, document, number) < config.probability
        ]
        removed = drawn if drawn and _remove(document, drawn) else []
        document.counts["commented.removed"] += len(removed)
        document.counts["commented.removed_lines"] += sum(len(block.lines) for block in removed)
        document.audit.extend(
            {
                "kind": "commented",
                "lines": len(block.lines),
                "removed": block in removed,
                "text": b"\n".join(block.lines)[:_SHOWN].decode(errors="replace"),
            }
            for block in found
        )

    return step


def _uniform(seed: int, document: Document, number: int) -> float:
    """In [0, 1), a function of its arguments alone."""
    key = f"{seed}\0commented\0{document.repository}\0{document.path}\0{number}".encode(errors="surrogatepass")
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 11) * 2.0**-53


def _remove(document: Document, blocks: list[Block]) -> bool:
    """Take the blocks out, unless the file then holds more errors."""
    before, errors = document.content, document.tree().error_bytes
    parts, at = [], 0
    for block in blocks:
        parts.append(before[at : block.start])
        at = block.end
    document.replace(b"".join([*parts, before[at:]]))
    try:
        if document.tree().error_bytes <= errors:
            return True
    except Dropped:
        pass
    document.replace(before)
    document.counts["commented.kept_to_parse"] += 1
    return False
