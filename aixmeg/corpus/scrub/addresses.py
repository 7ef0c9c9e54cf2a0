"""IP addresses, and what only looks like one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from aixmeg.corpus.scrub.rule import Finding, Source, matches

_V4: Final = re.compile(
    rb"(?<![\w.\-+$%#])((?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3})"
    rb"(?![\w$]|\.[\w*]|-\w|\+\w)"
)
_V6: Final = re.compile(rb"(?<![\w:.$])([23][0-9a-fA-F]{3}(?::[0-9a-fA-F]{0,4}){2,7})(?![\w:]|\.\d)")
_VERSION: Final = re.compile(
    rb"(?i)versi(?:on)?|\bver\b|\bv\.?$|release|upgrade|\bbuild\b|firmware|assembly|revision|since|changelog|"
    rb"(?:==|>=|<=|~=|\^|~)\s*$|[a-z)]/$|chrome|firefox|safari|user.?agent|mozilla|driver|\boid|\basn|"
    rb"section|sect\.|chapter|clause|paragraph|table|figure|annex|appendix|rfc|\bspec|\xc2\xa7|\biso\b|package|artifact|"
    rb"\bjar\b|sdk\b|gradle|maven|nuget|plugin|zlib|\w-core|http://www\.w3"
)
_NETWORK: Final = re.compile(
    rb"(?i)(?<![a-z])ip(?:v?4|s|_|\b|addr)|[a-z]IP\b|_ip|addr|host|server|\bdns|subnet|netmask|gateway|router|proxy|\bpeer|"
    rb"client|remote|network|://|\bping\b|cidr|whois|inet|socket|\bbind\b|listen|connect|\bports?\b|firewall|@$"
)
_AFTER: Final = re.compile(rb":\d{2,5}\b| ?/ ?\d{1,2}\b")
_PUBLIC_SERVICES: Final = frozenset(
    b"1.1.1.1 1.0.0.1 1.2.3.4 4.3.2.1 5.6.7.8 1.1.1.2 2.2.2.2 3.3.3.3 4.4.4.4 5.5.5.5 6.6.6.6 7.7.7.7 9.9.9.9 "
    b"8.8.8.8 8.8.4.4 208.67.222.222 208.67.220.220 149.112.112.112 114.114.114.114 223.5.5.5 4.2.2.2 "
    b"2001:4860:4860::8888 2001:4860:4860::8844 2606:4700:4700::1111 2606:4700:4700::1001 2620:fe::fe".split()
)
"""Resolvers that everybody knows, and addresses that only stand in examples."""


class AddressRule:
    """Public addresses; those of private networks too when asked; never loopback, masks, multicast, documentation."""

    kind = "ip"
    triggers = (rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", rb"[23][0-9a-fA-F]{3}:[0-9a-fA-F:]{2}")

    def __init__(self, *, private: bool = False) -> None:
        self._private = private

    def find(self, source: Source, start: int, end: int) -> Iterator[Finding]:
        """Addresses in the line."""
        for match in matches(_V4, source, start, end):
            if self._is_wanted(match[1]) and self._is_address(source.text, start, end, match):
                yield Finding(*match.span(1), self.kind, "ipv4")
        for match in matches(_V6, source, start, end):
            if match[1].count(b"::") <= 1 and self._is_wanted(match[1]):
                yield Finding(*match.span(1), self.kind, "ipv6")

    def _is_wanted(self, value: bytes) -> bool:
        if value.lower() in _PUBLIC_SERVICES:
            return False
        try:
            address = ipaddress.ip_address(value.decode())
        except ValueError:
            return False
        if address.is_loopback or address.is_multicast or address.is_reserved or address.is_unspecified:
            return False
        if address.is_global:
            return True
        documentation = any(address in network for network in _DOCUMENTATION if network.version == address.version)
        return self._private and not documentation and not value.startswith(b"0.")

    @staticmethod
    def _is_address(text: bytes, start: int, end: int, match: re.Match[bytes]) -> bool:
        """Whether four numbers are an address and no version, section or object identifier."""
        before, after = (
            text[max(start, match.start() - 80) : match.start()],
            text[match.end() : min(end, match.end() + 8)],
        )
        octets = [int(part) for part in match[1].split(b".")]
        network = bool(_NETWORK.search(before) or _AFTER.match(after))
        if _VERSION.search(before[-20:]) or (_VERSION.search(before) and not _NETWORK.search(before[-24:])):
            return False
        if octets[0] == 0 or len(set(octets)) == 1 or octets[:3] == [1, 2, 3] or octets[:2] == [12, 34]:
            return False  # made up, as documentation does
        small = max(octets) < 32 or octets[2:] == [0, 0] or (octets[0] < 3 and sum(octets) < 300)
        return network or not small


_DOCUMENTATION: Final = [
    ipaddress.ip_network(network)
    for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "192.0.0.0/24", "0.0.0.0/8")
]
"""RFC 5737 and 3849, and what is no host's."""
