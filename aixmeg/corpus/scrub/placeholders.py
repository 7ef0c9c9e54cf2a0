"""What is put in the place of each kind: pure functions of the value and its ordinal among the file's values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from aixmeg.corpus.scrub.keys import KEY_END, KEY_RUN, blank_key

Make = Callable[[bytes, int], bytes]
"""(value, ordinal from 1) → placeholder without line feeds but those of the value."""

_LONGEST_TOKEN: Final = 64


def _numbered(before: str, after: str = "", *, join: str = "") -> Make:
    """`email@example.com`, `email2@example.com` …"""

    def make(_value: bytes, ordinal: int) -> bytes:
        number = f"{join}{ordinal}" if ordinal > 1 else ""
        return f"{before}{number}{after}".encode()

    return make


def _ipv4(_value: bytes, ordinal: int) -> bytes:
    """The three networks of RFC 5737 by turns; after 762 values they begin again."""
    block, host = divmod((ordinal - 1) % 762, 254)
    return f"{('192.0.2', '198.51.100', '203.0.113')[block]}.{host + 1}".encode()


def _ipv6(_value: bytes, ordinal: int) -> bytes:
    return f"2001:db8::{ordinal:x}".encode()


def _token(value: bytes, ordinal: int) -> bytes:
    """The same shape in x, and the ordinal at its end: separators and the case of all-capital tokens stay."""
    fill = b"X" if value.isupper() else b"x"
    shape = re.sub(rb"[A-Za-z0-9+%]", fill, value[:_LONGEST_TOKEN])
    number = str(ordinal).encode() if ordinal > 1 else b""
    return shape[: len(shape) - len(number)] + number


def _private_key(value: bytes, _ordinal: int) -> bytes:
    return blank_key(value, KEY_RUN, KEY_END)


NATURAL: Final[dict[str, Make]] = {
    "private_key": _private_key,
    "url_user": _numbered("user"),
    "password": _numbered("example-password", join="-"),
    "secret": _numbered("example-secret", join="-"),
    "token": _token,
    "ssh_key": _numbered("AAAAPUBLICKEY"),
    "ssh_comment": _numbered("user@host"),
    "email": _numbered("email", "@example.com"),
    "email_encoded": _numbered("email", "%40example.com"),
    "person": _numbered("Example Author", join=" "),
    "login": _numbered("user"),
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "phone": lambda _value, ordinal: f"+1-202-555-01{(ordinal - 1) % 100:02d}".encode(),
    "card": lambda _value, _ordinal: b"4111111111111111",
}


def _tag(name: str) -> Make:
    """Tags are not numbered, as the corpora that use them do not number them."""
    return lambda _value, _ordinal: f"<{name}>".encode()


TAG: Final[dict[str, Make]] = {
    "private_key": lambda value, _ordinal: blank_key(value, b"<KEY>", b"<KEY>"),
    **dict.fromkeys(("url_user", "login", "person"), _tag("NAME")),
    **dict.fromkeys(("password", "secret"), _tag("PASSWORD")),
    **dict.fromkeys(("token", "ssh_key"), _tag("KEY")),
    **dict.fromkeys(("ssh_comment", "email", "email_encoded"), _tag("EMAIL")),
    **dict.fromkeys(("ipv4", "ipv6"), _tag("IP_ADDRESS")),
    "phone": _tag("PHONE"),
    "card": _tag("CARD"),
}


def table(style: Literal["natural", "tag"]) -> dict[str, Make]:
    """Form → its placeholder."""
    return {"natural": NATURAL, "tag": TAG}[style]
