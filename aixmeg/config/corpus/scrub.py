"""Secrets and personal data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

SCRUB_KINDS: Final = {
    "private_key": "private keys in PEM, OpenSSH, PGP and PuTTY blocks",
    "url_credentials": "user:password@ in URLs, passwords and keys in connection strings",
    "token": "tokens of services, known by their prefix or form; Authorization headers",
    "ssh_key": "public SSH keys, which name a person's account, and the comment behind them",
    "password": "passwords, secrets and keys that are assigned as literals",
    "email": "e-mail addresses",
    "name": "people in author tags, Signed-off-by and its kin, TODO(…)",
    "ip": "public IPv4 and IPv6 addresses",
    "phone": "telephone numbers with a country code",
    "card": "payment card numbers that satisfy Luhn's check",
}
"""Kind → what it covers. Where two overlap, the one named first is replaced."""


@dataclass(frozen=True, kw_only=True)
class ScrubConfig:
    """Secrets and personal data."""

    enabled: bool = True
    """Whether the step runs."""
    kinds: tuple[str, ...] = ("private_key", "url_credentials", "token", "ssh_key", "password", "email", "name", "ip")
    """What is replaced. `phone` and `card` exist too and are off by default: in source code nearly all their hits are
    constants, test vectors and identifiers."""
    style: Literal["natural", "tag"] = "natural"
    """`natural` puts look-alikes that keep code parsable everywhere (email@example.com, 192.0.2.1); `tag` puts <EMAIL>,
    which in JSX and XML text opens an element."""
    private_addresses: bool = False
    """Whether addresses of private networks (RFC 1918, shared, link-local, unique local) are replaced as well."""
    copyright_names: bool = False
    """Whether people in copyright lines are replaced; licences ask that these lines stay."""
    audit: int = 8
    """Masked records for people to look at, per file at most; 0 disables them."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        for kind in self.kinds:
            if kind not in SCRUB_KINDS:
                yield f"{where}.kinds has {kind!r}, which is none of {', '.join(SCRUB_KINDS)}"
        if self.enabled and not self.kinds:
            yield f"{where}.kinds is empty; name at least one of {', '.join(SCRUB_KINDS)}, or set {where}.enabled=false"
        if self.audit < 0:
            yield f"{where}.audit={self.audit} is negative; 0 keeps no records"
