"""Private keys in text blocks, and public SSH keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, matches

_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----")
_PUTTY: Final = re.compile(rb"Private-Lines: ?\d{1,3}")
_RUN: Final = re.compile(rb"(?:(?<![A-Za-z0-9+/=\\,])|(?<=\\[nr]))[A-Za-z0-9+/]{16,}={0,2}")
_SHORT: Final = re.compile(
    rb"(?:(?<=[\"'`])|(?<=\\[nr])|(?<=\n)(?P<indent>[ \t]*))=?[A-Za-z0-9+/]{2,15}={0,2}"
    rb"(?=[\"'`]|\\[nr]|[ \t]*\r?(?:\n|$))"
)
"""The last line and its checksum: alone in their line or their string."""
KEY_RUN: Final = b"PRIVATEKEYPRIVATEKEY"
KEY_END: Final = b"KEY="
_LONGEST: Final = 32_768  # bytes of a block; an RSA key of 16,384 bits has 12,600
_SSH: Final = re.compile(
    rb"(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d{3}|sk-[a-z0-9\-@.]{8,40})[ \t]+(AAAA[A-Za-z0-9+/]{30,}={0,3})"
    rb"(?:[ \t]+([A-Za-z0-9_.\-]{1,40}@[A-Za-z0-9_.\-]{1,60}))?"
)


class PrivateKeyRule:
    """The base64 text between BEGIN … PRIVATE KEY and its END; the frame, headers, quotes and line ends stay."""

    kind = "private_key"
    triggers = (rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY", rb"Private-Lines: ?[0-9]")

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Keys whose block begins in the line; one finding for all base64 of a block, however many lines it takes."""
        for match in matches(_BEGIN, source, start, end):
            limit = min(len(source.text), match.end() + _LONGEST)
            close = source.text.find(b"-----END " + match[1] + b"-----", match.end(), limit)
            again = source.text.find(b"-----BEGIN ", match.end(), limit)
            if close >= 0 and (again < 0 or close < again):
                yield from self._body(source.text, match.end(), close)
        for match in matches(_PUTTY, source, start, end):
            close = source.text.find(b"Private-MAC:", match.end(), match.end() + _LONGEST)
            if close >= 0:
                yield from self._body(source.text, match.end(), close)

    def _body(self, text: bytes, start: int, end: int) -> Iterator[Finding]:
        first = _RUN.search(text, start, end)
        if first and any(run[0] != KEY_RUN for run in _RUN.finditer(text, start, end)):
            yield Finding(first.start(), end, self.kind, "private_key")


def blank_key(value: bytes, run: bytes, last: bytes) -> bytes:
    """The block's text with each long run of base64 replaced by `run`, and what is short behind them by `last`."""
    position = max(match.end() for match in _RUN.finditer(value))
    tail = _SHORT.sub(lambda match: (match["indent"] or b"") + last, value[position:])
    return _RUN.sub(run, value[:position]) + tail


class SshKeyRule:
    """`ssh-rsa AAAA… somebody@somewhere`: the key and the comment."""

    kind = "ssh_key"
    triggers = (rb"(ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp[0-9]{3}|@openssh\.com)[ \t]{1,8}AAAA[A-Za-z0-9+/]{30}",)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Keys in the line."""
        for match in matches(_SSH, source, start, end):
            if not match[1].startswith(b"AAAAPUBLICKEY"):
                yield Finding(*match.span(1), self.kind, "ssh_key")
            if match[2] and match[2] not in (b"user@host", b"email@example.com"):
                yield Finding(*match.span(2), self.kind, "ssh_comment")
