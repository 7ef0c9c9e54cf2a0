"""Passwords, secrets and keys that are assigned as literals, and credentials inside URLs and connection strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, is_dummy, is_password, is_random, matches

# `[ \t]` and not `\s`: nothing reaches over a line's end, here and in the triggers.
_PASS: Final = rb"(?:pass(?:word|wd|phrase|code|w)|pwd)"
_KEYS: Final = (
    rb"(?:api|access|auth|account|private|signing|encryption|master|service|storage|license|subscription)[_\-. ]?"
)
_KEY: Final = rb"(?:secret(?:[_\-. ]?(?:access)?[_\-. ]?key)?|token|credentials?|" + _KEYS + rb"key)"
_NAME: Final = rb"(?:" + _PASS + rb"|" + _KEY + rb")[0-9]?"
_SETS: Final = (
    rb"(?:[\"'`]?[\])]{0,2}[ \t]{0,8}(?:\??:[ \t]{0,4}[&A-Za-z0-9_<>\[\]. ?*]{1,24}=|:=|=>|===?|!==?|[:=])[ \t]{0,8}|"
    rb"\[\][ \t]{0,3}=[ \t]{0,3}\{?|[\"'`][ \t]?,[ \t]{0,4}|\([ \t]{0,2}|[ \t]{1,8})[bruLN@$]{0,2}[\"'`]"
)
_QUOTED: Final = re.compile(
    rb"(?i)(?:(?P<pass>"
    + _PASS
    + rb")|(?P<key>secret(?:[_\-. ]?(?:access)?[_\-. ]?key)?|token|credentials?|key))[0-9]?"
    + _SETS
    + rb"(?<=(?P<quote>[\"'`]))(?P<value>[^\"'`\s\\]{4,512})(?P=quote)"
)
_KEYS_BEFORE: Final = re.compile(rb"(?i)" + _KEYS + rb"$")  # looked at afterwards: the search runs faster without it
_BARE: Final = re.compile(
    rb"(?i)[ \t#;/]{0,16}(?:export[ \t]+|env[ \t]+|set[ \t]+|-[ \t]+)?(?:[A-Za-z][\w\-.]{0,40}?)?"
    + rb"(?:(?P<pass>"
    + _PASS
    + rb")|(?P<key>"
    + _KEY
    + rb"))[0-9]?"
    + rb"[ \t]{0,4}[:=][ \t]{0,4}(?P<value>[^\"'`\s\\#;,]{4,512})[ \t]*\r?$"
)
_BARE_LANGUAGES: Final = frozenset(("shell", "tcsh", "yaml", "dockerfile", "makefile", "powershell", "markdown"))
_CONNECTION: Final = re.compile(
    rb"(?i)(?:(?<=[;\"'`&?])|(?<=; ))" + _PASS + rb"=(?P<value>[^;&\"'`\s\\{}()\[\]]{4,128})(?=[;&]|[\"'`])"
)
_URL: Final = re.compile(
    rb"(?<![A-Za-z0-9])[A-Za-z][A-Za-z0-9+.\-]{1,20}:(?://|\\/\\/)([^\s/@:\"'<>`\\]{0,64}):([^\s/@\"'<>`\\]{1,128})@(?=[\w\[$%{])"
)
_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}")


class PasswordRule:
    """`password = "…"` and kin: by the name that is set, and by the value."""

    kind = "password"
    triggers = (rb"(?i)" + _NAME + _SETS,)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Literals in the line."""
        for match in matches(_QUOTED, source, start, end):
            if match["key"] and match["key"].lower() == b"key":
                first = match.start()
                if not _KEYS_BEFORE.search(source.text, max(0, first - 16), first):
                    continue
            yield from _judge(match, 0)


class BarePasswordRule:
    """`PASSWORD=…` without quotes, alone on its line, in languages that write values so."""

    kind = "password"
    triggers = (rb"(?i)" + _NAME + rb"[ \t]{0,4}[:=][ \t]{0,4}[^\"'`\s\\#;,]{4}",)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """The line's value."""
        if source.language in _BARE_LANGUAGES and (match := _BARE.match(source.text[start:end])):
            yield from _judge(match, start)


def _judge(match: re.Match[bytes], start: int) -> Iterator[Finding]:
    value, (first, last) = match["value"], match.span("value")
    if match["pass"] and is_password(value):
        yield Finding(start + first, start + last, "password", "password")
    elif (
        match["key"]
        and not _PATH.search(value)
        and (is_random(value) or (_STRONG.search(value) and is_password(value)))
    ):
        yield Finding(start + first, start + last, "password", "secret")


_STRONG: Final = re.compile(rb"\d.*[^\w\-.:/,+=]|[^\w\-.:/,+=].*\d")  # what a person would call a good password
_PATH: Final = re.compile(
    rb"^[./~]|://|^0x[0-9a-fA-F]{40}$|^(?:sha\d{3}|md5)[-:]|\.(?:json|pem|key|txt|ya?ml|js|py|html)$"
)


class UrlCredentialsRule:
    """`scheme://user:password@host`, and `Password=…;` in connection strings."""

    kind = "url_credentials"
    triggers = (
        rb":(//|\\/\\/)[^\s/@:\"'<>`\\]{0,64}:[^\s/@\"'<>`\\]{1,128}@",
        rb"(?i)[;\"'` &?]" + _PASS + rb"=[^;&\"'`\s\\{}()\[\]]{4,128}([;&]|[\"'`])",
    )

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """User and password of each URL in the line; the password alone of connection strings."""
        for match in matches(_URL, source, start, end):
            user, password = match[1], match[2]
            if is_password(_PERCENT.sub(b"", password)) and not is_dummy(password) and password != user:
                if user and not is_dummy(user) and user != b"user":
                    yield Finding(*match.span(1), self.kind, "url_user")
                yield Finding(*match.span(2), self.kind, "password")
        for match in matches(_CONNECTION, source, start, end):
            if re.search(rb"[;&]", source.text[start:end]) and is_password(match["value"]):
                yield Finding(*match.span("value"), self.kind, "password")
