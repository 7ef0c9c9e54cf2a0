"""Telephone and payment card numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, matches, sequence

_PHONE: Final = re.compile(rb"(?<![\w.+\-])\+[1-9]\d{0,2}[ .\-]?\(?\d{1,4}\)?(?:[ .\-]\d{2,4}){2,4}(?![\w\-.])")
_CARD: Final = re.compile(rb"(?<![\w.\-])[3-6]\d{3}(?:([ \-]?)\d{4}\1\d{4}\1\d{1,7}|[ ]?\d{6}[ ]?\d{5})(?![\w\-.])")
_TEST_CARDS: Final = re.compile(
    rb"4242|4111111111|4012888888881881|5555555555554444|5105105105105100|3782822463|3714496353|6011"
)


class PhoneRule:
    """`+49 30 1234567` and kin; numbers reserved for fiction (555-01xx) stay."""

    kind = "phone"
    triggers = (rb"\+[1-9][0-9]{0,2}[ .\-]?\(?[0-9]{1,4}\)?[ .\-][0-9]{2}",)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Numbers in the line."""
        for match in matches(_PHONE, source, start, end):
            digits = bytes(byte for byte in match[0] if 48 <= byte < 58)
            if 10 <= len(digits) <= 15 and b"55501" not in digits and not sequence(digits[-8:]):
                yield Finding(*match.span(), self.kind, "phone")


class CardRule:
    """13 to 19 digits that satisfy Luhn's check and are no issuer's published test number."""

    kind = "card"
    triggers = (rb"[3-6][0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{4}",)

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Numbers in the line."""
        for match in matches(_CARD, source, start, end):
            digits = bytes(byte for byte in match[0] if 48 <= byte < 58)
            if 13 <= len(digits) <= 19 and _luhn(digits) and len(set(digits)) > 3 and not _TEST_CARDS.match(digits):
                yield Finding(*match.span(), self.kind, "card")


def _luhn(digits: bytes) -> bool:
    total = 0
    for index, byte in enumerate(reversed(digits)):
        value = (byte - 48) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
