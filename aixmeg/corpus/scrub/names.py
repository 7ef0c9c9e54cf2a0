"""People in author tags, sign-offs, to-do comments, and before e-mail addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, alternatives, matches
from aixmeg.corpus.scrub.words import NO_LOGIN, NO_PERSON

# 1. What a name looks like. Bytes above 0x7f are letters of UTF-8.
_LETTER: Final = rb"(?:[A-Za-z\x80-\xff]|(?<=[A-Za-z\x80-\xff])['\-](?=[A-Za-z\xc3-\xff]))"
_CAPITAL: Final = rb"(?:[A-Z]|[\xc3-\xf4][\x80-\xbf]{1,3})"
_WORD: Final = rb"(?:" + _CAPITAL + rb"(?:[a-z]{0,2}\.|" + _LETTER + rb"{1,30}|(?![A-Za-z])))"
_PARTICLE: Final = rb"(?:van|von|de|der|den|da|di|del|du|la|le|ten|ter|zu|bin|al|el|y|dos|af|av)"
_FULL: Final = _WORD + rb"(?:(?:[ \t]|(?<=\.))(?:" + _PARTICLE + rb"[ \t]){0,2}" + _WORD + rb"){1,3}(?![A-Za-z0-9_(@])"
_CJK: Final = rb"(?:[\xe3-\xed][\x80-\xbf]{2}){2,5}(?![\x80-\xff])"
_PERSON: Final = re.compile(rb"(?:" + _FULL + rb"|" + _CJK + rb")")
_LOGIN: Final = re.compile(rb"[A-Za-z][A-Za-z0-9.\-]{1,30}(?<![.\-])(?![\w@/\\:(])|" + _WORD + rb"(?![\w@(])")
_LOGIN_END: Final = re.compile(rb"[ \t]*(?:$|[\r,;<({*&\"'\]]|-->|and |on |-\s|\d)")
_IN_BRACKETS: Final = re.compile(
    rb"[A-Za-z0-9][A-Za-z0-9_.\-]{1,40}(?:@[A-Za-z0-9.\-]{3,60}>?)?[ \t]*\((?=[A-Z\xc3-\xf4])"
)

# 2. Where one stands.
_OPEN: Final = rb"(?:<a [^<>\n]{0,120}>|[\"'`*_\[<]{0,2})"
_TAG: Final = re.compile(
    rb"(?<![\w@])[@\\](?:authors?|maintainers?|developers?|contributors?)\b[ \t]*:?[ \t]{0,40}(?:[Cc]reated by )?"
    + _OPEN
)
_LABEL: Final = re.compile(
    rb"(?i)(?:(?:original|main|primary|principal|co-?|first|current)[ \t_\-]?)?"
    rb"(?:authors?(?:\(s\))?|maintainers?|contributors?|programmers?|translators?)[ \t]{0,20}:[ \t]{0,40}" + _OPEN
)
_LABEL_LEAD: Final = re.compile(
    rb"(?:[^\w\"']{0,40}|.*(?:/\*|//|#|\(\*|<!--|\"\"\"|''')\W{0,20}|\W*(?:rem|dnl)\s+)", re.DOTALL
)
_BY: Final = re.compile(
    rb"(?i)(?:signed-off|(?:co-)?(?:authored|developed)|reviewed|acked|reported|tested|suggested)-by[ \t]*:[ \t]*|"
    rb"(?<![A-Za-z])(?:written|created|contributed|developed|maintained|implemented|ported|authored|coded|modified|"
    rb"updated|rewritten|patch(?:es)?|contributions?|implementation|bug ?fix(?:es)?|code)(?:[ \t]+\w+){0,2}[ \t]+by"
    rb"[ \t]*:?[ \t]{1,20}"
)
_ASSIGNED: Final = re.compile(
    rb"(?i)(?<![\w.$])[\"']?(?:__)?(?:authors?|maintainers?|author_?name|contributors?)(?:__)?[\"']?[ \t]{0,8}"
    rb"(?:=>|[:=])[ \t]{0,8}(?:[\[{(][ \t]*){0,2}(?:[\"']?name[\"']?[ \t]*[:=][ \t]*)?[bru]?[\"']"
)
# Many a code base addresses a remark to a person, by name or account: `TODO(jane):`.
_TODO: Final = re.compile(
    rb"(?<![A-Za-z])(?:TODO|FIXME|XXX|HACK|NOTE)[ \t]?\([ \t]?@?([A-Za-z][A-Za-z0-9.\-]{1,24})[ \t]?\)"
)
_ADDRESSED: Final = re.compile(
    rb"(?<![A-Za-z\x80-\xff])(" + _FULL + rb"|" + _CJK + rb")(?:[ \t]\([^()\n]{1,40}\))?[ \t]{0,20}"
    rb"(?:(?:<|&lt;|\()(?:mailto:)?|[\"'][ \t]?,[ \t]?[\"']?e-?mail[\"']?[ \t]?[:=][ \t]?[\"'])[\w.+\-]{1,64}@[\w\-]"
)
_HANDLED: Final = re.compile(rb"(?:(?<=[Aa]uthor)|(?<= and))[ \t](" + _FULL + rb")[ \t]@[A-Za-z0-9\-]{2,39}(?![\w.])")
_LABELLED_LOGIN: Final = re.compile(rb"([A-Za-z][A-Za-z0-9.\-]{1,30})[ \t]*(?::[ \t]*http|<[^<>\n]{1,60}@)")
_COPYRIGHT: Final = re.compile(
    rb"(?i)(?:copyright|\xc2\xa9)[ \t:]*(?:\(c\)|\xc2\xa9)?[ \t]*(?:[\d,\- \t]|present|onwards){0,60}(?:by[ \t])?[ \t]*"
)
_IS_COPYRIGHT: Final = re.compile(rb"(?i)copyright|\(c\)|\xc2\xa9")
_JOIN: Final = re.compile(
    rb"(?:[ \t]*(?:<[^<>\n]{0,80}>|&lt;[^&\n]{0,80}&gt;|\([^()\n]{0,80}\)|\{@[^}\n]{0,80}\}))?"
    rb"(?:[ \t]*[,;&/][ \t]*(?:and[ \t]+)?|[ \t]+(?:and|und|et)[ \t]+)"
)

# 3. What is none.
_NO_PERSON: Final = re.compile(rb"(?i)(?<![A-Za-z])(?:" + alternatives(NO_PERSON.split()) + rb")(?![A-Za-z'])|'s\b")
_NO_LOGIN: Final = re.compile(
    rb"(?i)(?:(?:\w+-)?(?:" + alternatives(NO_LOGIN.split()) + rb")(?:-\w+)?|v?\d.*|[a-z]+-?\d{3,}|rfc.*|[a-z]{1,5}\d?|"
    rb"[a-z]+-[a-z]+-[a-z\-]+|\w+\.(?:com|io|org|dev)\S*|\w+(?:-?warn\w*|tion|ization|ing|able|ment|ability))"
)
_SHORT_LOGIN: Final = re.compile(rb"(?:[a-z]{2,5}\d?)")
_PLACEHOLDERS: Final = re.compile(rb"(?:Example Author(?: \d+)?|user\d*)(?!\w)")


class NameRule:
    """Names and logins where a tag, label, form or address says that they are a person's; never in running text."""

    kind = "name"
    triggers: tuple[bytes, ...] = (
        rb"(?i)[@\\](author|maintainer|developer|contributor)",
        rb"(?i)(author|maintainer|contributor|programmer|translator)(s|\(s\)|_?name)?(__)?[\"']?[ \t]{0,20}(=>|[:=])",
        rb"(?i)(ed|off)-by[ \t]{0,8}:[ \t]{0,8}[A-Za-z\x80-\xff]",
        rb"([Ww]ritten|[Cc]reated|[Cc]ontributed|[Dd]eveloped|[Mm]aintained|[Ii]mplemented|[Pp]orted|[Aa]uthored|[Rr]ewritten|[Cc]oded|"
        rb"[Mm]odified|[Uu]pdated|[Pp]atch(es)?|[Cc]ontributions?|[Ii]mplementation|[Ff]ix(es)?|[Cc]ode)"
        rb"([ \t]{1,8}[A-Za-z0-9_]{1,20}){0,2}[ \t]{1,8}[Bb]y[ \t]{0,4}:?[ \t]{1,20}[A-Z\xc3-\xf4]",
        rb"(TODO|FIXME|XXX|HACK|NOTE)[ \t]?\([ \t]?@?[A-Za-z]",
        rb"[A-Za-z\x80-\xff.)][ \t]{0,20}(<|&lt;|\()(mailto:)?[A-Za-z0-9_.+\-]{1,64}@[A-Za-z0-9_\-]",
        rb"[\"'][ \t]?,[ \t]?[\"']?e-?mail[\"']?[ \t]?[:=][ \t]?[\"'][A-Za-z0-9_.+\-]{1,64}@[A-Za-z0-9_\-]",
        rb"[Aa]uthor[ \t][A-Z\xc3-\xf4][A-Za-z.'\x80-\xff \t\-]{2,60}[ \t]@[A-Za-z0-9]",
    )

    def __init__(self, *, copyright_lines: bool = False) -> None:
        self._copyright = copyright_lines
        self._patterns = [(_TAG, True), (_LABEL, False), (_ASSIGNED, False), (_BY, False)]
        if copyright_lines:
            self.triggers = (*self.triggers, rb"(?i)(copyright|\xc2\xa9)")
            self._patterns.append((_COPYRIGHT, False))

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """People in the line."""
        text = source.text
        for pattern, logins in self._patterns:
            for match in matches(pattern, source, start, end):
                if pattern is not _LABEL:
                    yield from self._people(text, match.end(), end, logins)
                elif _LABEL_LEAD.fullmatch(text, start, match.start()):
                    yield from self._people(text, match.end(), end, logins)
                    if login := _LABELLED_LOGIN.match(text, match.end(), end):
                        yield from self._judge(login, 1, "login")
        for match in matches(_TODO, source, start, end):
            short = _SHORT_LOGIN.fullmatch(match[1]) and match[1] not in _WORDS
            if (short or not _NO_LOGIN.fullmatch(match[1])) and not _PLACEHOLDERS.fullmatch(match[1]):
                yield Finding(*match.span(1), self.kind, "login")
        if b"@" in text[start:end]:
            for match in matches(_ADDRESSED, source, start, end):
                if self._copyright or not _IS_COPYRIGHT.search(text, start, match.start()):
                    yield from self._judge(match, 1, "person")
            if b"uthor " in text[start:end]:
                for match in matches(_HANDLED, source, start, end):
                    yield from self._judge(match, 1, "person")

    def _people(self, text: bytes, position: int, end: int, logins: bool) -> Iterator[Finding]:
        """Names from `position` on, as long as commas, `and` or an address in brackets lead to the next."""
        for _ in range(12):
            match, form = _PERSON.match(text, position, end), "person"
            if not match:
                if bracket := _IN_BRACKETS.match(text, position, end):  # login (Full Name), me@here (Full Name)
                    name = _PERSON.match(text, bracket.end(), end)
                    if name and text[name.end() : name.end() + 1] == b")":
                        yield from self._judge(name, 0, "person")
                match, form = _LOGIN.match(text, position, end) if logins else None, "login"
                if not match or not _LOGIN_END.match(text, match.end(), end):
                    return
            yield from self._judge(match, 0, form)
            join = _JOIN.match(text, match.end(), end)
            if not join:
                return
            position = join.end()

    def _judge(self, match: re.Match[bytes], group: int, form: str) -> Iterator[Finding]:
        value = match[group]
        if not _NO_PERSON.search(value) and not _PLACEHOLDERS.match(value):
            yield Finding(*match.span(group), self.kind, form)


_WORDS: Final = frozenset(NO_LOGIN.encode().split())
