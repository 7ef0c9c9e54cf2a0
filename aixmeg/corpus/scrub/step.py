"""The step: hot lines, findings, replacements, counts, audit records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from aixmeg.config.corpus.scrub import SCRUB_KINDS, ScrubConfig
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.scrub.addresses import AddressRule
from aixmeg.corpus.scrub.emails import EmailRule
from aixmeg.corpus.scrub.engine import EngineName, make_hot_lines
from aixmeg.corpus.scrub.keys import PrivateKeyRule, SshKeyRule
from aixmeg.corpus.scrub.names import NameRule
from aixmeg.corpus.scrub.numbers import CardRule, PhoneRule
from aixmeg.corpus.scrub.passwords import BarePasswordRule, PasswordRule, UrlCredentialsRule
from aixmeg.corpus.scrub.placeholders import table
from aixmeg.corpus.scrub.rule import Finding, Rule, Source
from aixmeg.corpus.scrub.tokens import TokenRule

_ROUNDS: Final = 8
"""A replacement can uncover what it overlapped; on real code one round has always been enough."""
_EXCERPT: Final = 120  # bytes of an audit record's line


def make_rules(config: ScrubConfig) -> list[Rule]:
    """The rules of the configured kinds, in the order of `SCRUB_KINDS`, which decides overlaps."""
    every: list[Rule] = [
        PrivateKeyRule(),
        UrlCredentialsRule(),
        TokenRule(),
        SshKeyRule(),
        PasswordRule(),
        BarePasswordRule(),
        EmailRule(),
        NameRule(copyright_lines=config.copyright_names),
        AddressRule(private=config.private_addresses),
        PhoneRule(),
        CardRule(),
    ]
    return [rule for rule in every if rule.kind in config.kinds]


class Scrubber:
    """Finds and replaces; one per worker. Its result depends on the bytes and their language alone."""

    def __init__(self, config: ScrubConfig, engine: EngineName | None = None) -> None:
        self._rules = make_rules(config)
        self._hot_lines = make_hot_lines(self._rules, engine)
        self._forms = table(config.style)

    def find(self, text: bytes, language: str) -> list[Finding]:
        """What is to be replaced, in order, without overlaps."""
        hot = self._hot_lines(text)
        if not hot:
            return []
        source = Source(text=text, language=language)
        found = [finding for rule, start, end in hot for finding in self._rules[rule].find(source, start, end)]
        found = list(dict.fromkeys(found))
        return list(_without_overlaps(found)) if found else []

    def scrub(self, text: bytes, language: str) -> tuple[bytes, list[tuple[Finding, bytes]], list[dict[str, Any]]]:
        """text → (text with placeholders, findings with what replaced each, audit records without place).

        Doing it twice is doing it once: rounds follow until nothing is found.
        """
        ordinals: dict[str, dict[bytes, int]] = {}
        done: list[tuple[Finding, bytes]] = []
        records: list[dict[str, Any]] = []
        for _ in range(_ROUNDS):
            found = self.find(text, language)
            if not found:
                break
            replaced = [(one, self._placeholder(one, text, ordinals)) for one in found]
            records += _records(text, replaced)
            text = _splice(text, replaced)
            done += replaced
        return text, done, records

    def _placeholder(self, finding: Finding, text: bytes, ordinals: dict[str, dict[bytes, int]]) -> bytes:
        value = text[finding.start : finding.end]
        known = ordinals.setdefault(finding.form, {})
        return self._forms[finding.form](value, known.setdefault(value, len(known) + 1))


def make_step(config: ScrubConfig) -> Step:
    """The step that replaces secrets and personal data in a document and counts `scrub.<kind>`."""
    scrubber = Scrubber(config)

    def step(document: Document) -> None:
        text, done, records = scrubber.scrub(document.content, document.language)
        if not done:
            return
        document.replace(text)
        document.counts.update(f"scrub.{finding.kind}" for finding, _ in done)
        place = {"step": "scrub", "repository": document.repository, "path": document.path}
        document.audit += [place | record for record in records[: config.audit]]

    return step


def _without_overlaps(found: Sequence[Finding]) -> Iterator[Finding]:
    """Where findings overlap, the kind named first in `SCRUB_KINDS` stays, then the longer one."""
    rank = {kind: index for index, kind in enumerate(SCRUB_KINDS)}
    kept: list[Finding] = []
    for one in sorted(found, key=lambda one: (one.start, rank[one.kind], -one.end, one.form)):
        while kept and kept[-1].end > one.start:
            if (rank[kept[-1].kind], -kept[-1].end) <= (rank[one.kind], -one.end):
                break
            kept.pop()
        else:
            kept.append(one)
    return iter(kept)


def _splice(text: bytes, replaced: Sequence[tuple[Finding, bytes]]) -> bytes:
    parts, position = [], 0
    for finding, placeholder in replaced:
        parts += [text[position : finding.start], placeholder]
        position = finding.end
    return b"".join([*parts, text[position:]])


def _records(text: bytes, replaced: Sequence[tuple[Finding, bytes]]) -> list[dict[str, Any]]:
    """Kind, line from 1, the line with every finding's characters masked, and what was put in."""
    records, line, position = [], 1, 0
    masked = _splice(text, [(one, _mask(text[one.start : one.end])) for one, _ in replaced])  # offsets stay
    for finding, placeholder in replaced:
        line += text.count(b"\n", position, finding.start)
        position = finding.start
        first = max(masked.rfind(b"\n", 0, finding.start) + 1, finding.start - _EXCERPT // 3)
        last = masked.find(b"\n", finding.start)
        excerpt = masked[first : min(len(masked) if last < 0 else last, first + _EXCERPT)]
        records.append(
            {
                "kind": finding.kind,
                "line": line,
                "excerpt": excerpt.decode(errors="ignore").strip(),
                "replaced_by": placeholder[:_EXCERPT].decode(errors="ignore").partition("\n")[0],
            }
        )
    return records


def _mask(value: bytes) -> bytes:
    """The value's shape, byte by byte: letters a, digits 9, `.@:-` as they are, the rest *."""
    shape = re.sub(rb"[A-Za-z]", b"a", re.sub(rb"[0-9]", b"9", value))
    return re.sub(rb"[^a9.@:\-\n ]", b"*", shape)
