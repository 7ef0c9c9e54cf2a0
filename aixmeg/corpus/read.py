"""Step 2: read a candidate; strict UTF-8 without NUL bytes, or a reason."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from aixmeg.corpus.reasons import Dropped


def read_bytes(root: Path, path: str, size: int) -> bytes:
    """The file's bytes.

    Raises:
        Dropped: it cannot be read, or it is no longer the regular file of `size` bytes that the walk found.
    """
    try:
        # The walk saw a regular file; should a link or pipe stand there by now, it is neither followed nor waited for.
        descriptor = os.open(os.fsencode(root) + b"/" + path.encode(), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Dropped("changed")
            content = file.read(size + 1)
    except OSError:
        raise Dropped("unreadable") from None
    if len(content) != size:
        raise Dropped("changed")
    return content


def checked_digest(content: bytes) -> str:
    """SHA-256 of a text's bytes, in hexadecimal.

    Raises:
        Dropped: the bytes are not text.
    """
    if b"\0" in content:
        raise Dropped("nul_bytes")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise Dropped("invalid_utf8") from None
    return hashlib.sha256(content).hexdigest()
