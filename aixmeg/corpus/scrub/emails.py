"""E-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.domains import is_example, is_top_level
from aixmeg.corpus.scrub.rule import Finding, Source, matches

_ADDRESS: Final = re.compile(
    rb"(?<![\w.%+\-@])([\w.%+\-]{1,64})(@|%40)((?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.){1,5}([A-Za-z]{2,24}))"
    rb"(?![\w\-@]|\.\w)"
)
_ESCAPE: Final = re.compile(rb"(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[abfnrtv0])")
_ENCODED: Final = re.compile(rb".*%[0-9a-fA-F]{2}")
_ROLES: Final = frozenset(b"git hg svn bzr cvs noreply no-reply donotreply do-not-reply".split())
_FILES: Final = re.compile(rb"\d+(?:\.\d+)*x?$")
_ALGORITHM: Final = re.compile(
    rb"(?i)(?:openssh\.com|libssh\.org|lysator\.liu\.se|ssh\.com|tartarus\.org|twistedmatrix\.com)$"
)
_USER_INFO: Final = re.compile(rb"://[^\s/\"'<>]*$")
_QUOTED: Final = re.compile(rb"[\"'#<`]|//|/\*|^\s*[\w ]*$|:\s*$")
_SURE: Final = frozenset(b"com org net edu gov mil info dev io uk de fr cn jp ru".split())


class EmailRule:
    """`local@domain` with a real top-level domain; not example domains, git remotes, versions or operators."""

    kind = "email"
    triggers = (rb"[A-Za-z0-9_%+\-.](@|%40)[A-Za-z0-9\-]{1,63}\.[A-Za-z]",)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Addresses in the line."""
        for match in matches(_ADDRESS, source, start, end):
            first = match.start() + _lead(source.text, match)
            local, domain, top = source.text[first : match.end(1)], match[3].lower(), match[4].lower()
            mixed = not (match[4].islower() or match[3].isupper())  # `fe@Rm.Rs` in packed data
            if mixed or not local.strip(b".-+%_") or not is_top_level(top) or is_example(domain, local):
                continue
            if self._is_no_mailbox(source.text, first, match.end(), local.lower(), domain):
                continue
            if source.language == "python" and top not in _SURE and self._is_operator(source.text[start:first]):
                continue
            yield Finding(first, match.end(), self.kind, "email" if match[2] == b"@" else "email_encoded")

    @staticmethod
    def _is_no_mailbox(text: bytes, first: int, end: int, local: bytes, domain: bytes) -> bool:
        """Git remotes, users in URLs, SSH's names of algorithms, `icon@2x.ai`, addresses that nobody reads."""
        if local in _ROLES or _USER_INFO.search(text, max(0, first - 80), first):
            return True
        if len(local) == 1 and text[first - 1 : first] == b"%":  # a format: "%s@host"
            return True
        if _FILES.match(domain.split(b".", 1)[0]):
            return True
        if b"-" in local and _ALGORITHM.search(domain):
            return True
        return text[end : end + 1] == b":" and text[end + 1 : end + 2].isalpha()  # scp's host:path

    @staticmethod
    def _is_operator(before: bytes) -> bool:
        """Whether `@` multiplies matrices: code stands before it, and no quote or comment."""
        return any(mark in before for mark in (b"=", b"(", b"return")) and not _QUOTED.search(before)


def _lead(text: bytes, match: re.Match[bytes]) -> int:
    """Bytes at the match's start that belong to an escape before the address: `\\nme@…`, `\\u003cme@…`, `%3Cme@…`."""
    lead = 0
    if text[match.start() - 1 : match.start()] == b"\\" and (escape := _ESCAPE.match(match[1])):
        lead = escape.end()
    if encoded := _ENCODED.match(match[1], lead):
        lead = encoded.end()
    return lead + len(match[1][lead:]) - len(match[1][lead:].lstrip(b".-+%"))
