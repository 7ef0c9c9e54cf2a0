"""Bytes → text: encodings, byte order marks and line endings, by policy and with counts. Runs right after reading.

With the defaults the bytes stay as they are: what is not UTF-8 is dropped, and everything else is only counted.
"""

from __future__ import annotations

import codecs
from collections import Counter
from typing import Final

from aixmeg.config.corpus import SourcesConfig
from aixmeg.corpus.reasons import Dropped

_UTF8_MARK: Final = codecs.BOM_UTF8
_UTF16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF32_MARKS: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def apply_text_policy(content: bytes, policy: SourcesConfig, counts: Counter[str]) -> bytes:
    """Valid UTF-8 without NUL bytes: the bytes themselves, unless the policy changes them.

    Counts files, under what it saw and did: `text.decoded_as.X`, `text.bom`, `text.bom_stripped`, `text.crlf`,
    `text.lone_cr`, `text.mixed_endings`, `text.endings_changed`.

    Raises:
        Dropped: nul_bytes, invalid_utf8, lone_surrogate.
    """
    content = _utf8(content, policy, counts)
    if content.startswith(_UTF8_MARK):
        counts["text.bom"] += 1
        if policy.byte_order_mark == "strip":
            content = content[len(_UTF8_MARK) :]
            counts["text.bom_stripped"] += 1
    if b"\r" in content:
        content = _line_endings(content, policy, counts)
    return content


def _utf8(content: bytes, policy: SourcesConfig, counts: Counter[str]) -> bytes:
    nul = b"\0" in content
    try:
        if not nul:
            if not content.isascii():
                content.decode()
            return content
    except UnicodeDecodeError:
        pass
    for encoding in policy.encodings:
        text = _decoded(content, encoding)
        if text is not None and "\0" not in text:
            counts[f"text.decoded_as.{codecs.lookup(encoding).name}"] += 1
            return text.encode()
    if nul:
        raise Dropped("nul_bytes")
    # Three bytes that would be half of a surrogate pair (CESU-8, "WTF-8") deserve a name of their own.
    try:
        content.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        raise Dropped("invalid_utf8") from None
    raise Dropped("lone_surrogate")


def _decoded(content: bytes, encoding: str) -> str | None:
    """The text in one encoding; None if it is not of it. Its own byte order mark goes: UTF-8 needs none.

    UTF-16 and UTF-32 without a mark could be of either byte order, and any bytes at all pass for UTF-16.
    """
    name = codecs.lookup(encoding).name
    if name.startswith("utf-16") and not content.startswith(_UTF16_MARKS):
        return None
    if name.startswith("utf-32") and not content.startswith(_UTF32_MARKS):
        return None
    try:
        text = content.decode(encoding)
        text.encode()  # utf-7 and escapes may decode to half a pair
    except UnicodeError:
        return None
    return text.removeprefix("\ufeff")


def _line_endings(content: bytes, policy: SourcesConfig, counts: Counter[str]) -> bytes:
    pairs = content.count(b"\r\n")
    lone = content.count(b"\r") - pairs
    feeds = content.count(b"\n") - pairs
    counts["text.crlf"] += bool(pairs)
    counts["text.lone_cr"] += bool(lone)
    counts["text.mixed_endings"] += (pairs > 0) + (lone > 0) + (feeds > 0) > 1
    if policy.line_endings == "lf":
        counts["text.endings_changed"] += 1
        return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content
