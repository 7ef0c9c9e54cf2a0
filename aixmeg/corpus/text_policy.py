"""Bytes → text: encodings, byte order marks and line endings, by policy and with counts. Runs right after reading."""

from __future__ import annotations

from collections import Counter

from aixmeg.config.corpus import SourcesConfig


def apply_text_policy(content: bytes, policy: SourcesConfig, counts: Counter[str]) -> bytes:
    """Valid UTF-8 without NUL bytes: the bytes themselves, unless the policy changes them.

    Counts what it saw and did: `text.decoded_as.X`, `text.bom_stripped`, `text.crlf_to_lf`, `text.mixed_endings` …

    Raises:
        Dropped: nul_bytes, invalid_utf8, lone_surrogate.
    """
    raise NotImplementedError
