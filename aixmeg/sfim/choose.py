"""Objective, form and middle of one file: a pure function of (seed, epoch, document id).

The document id is the repository's name and the path in it, so other files of the corpus change nothing. Each choice
hashes its own purpose: another share of NTP moves no middle, another number of attempts no form.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

from aixmeg.config import DataConfig
from aixmeg.languages import LANGUAGES, parser
from aixmeg.sfim.spans import Span, draw_span

Objective = Literal["ntp", "fim", "sfim"]
Mode = Literal["none", "psm", "spm"]


@dataclass(frozen=True)
class Draws:
    """Reproducible uniform numbers, one per purpose, independent of each other."""

    seed: int
    epoch: int
    document: str

    def uniform(self, purpose: str) -> float:
        """A multiple of 2**-53 in [0, 1)."""
        key = "\0".join((str(self.seed), str(self.epoch), purpose, self.document))
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


@dataclass(frozen=True)
class Choice:
    """What an example of one file looks like."""

    objective: Objective
    mode: Mode
    span: Span | None
    """Bytes of the middle; its kind is "" for a random span; None for NTP."""
    without_node: bool = False
    """SFIM was drawn, but the file has no candidate node: it became NTP."""


def document_id(repository: str, path: str) -> str:
    """Identity of a file, whatever else the corpus holds."""
    return f"{repository}\0{path}"


def choose(config: DataConfig, *, repository: str, path: str, language: str, source: bytes) -> Choice:
    """Choose objective, form and middle of a file.

    Args:
        config: shares, seed, epoch and the longest middle.
        repository: name of the repository.
        path: path of the file in it.
        language: key of `LANGUAGES`; a language without a grammar has no nodes.
        source: the file's bytes, valid UTF-8.
    """
    draws = Draws(config.seed, config.epoch, document_id(repository, path))
    objective = _objective(config, draws.uniform("objective"))
    if objective == "ntp":
        return Choice("ntp", "none", None)
    mode: Mode = "spm" if draws.uniform("mode") < config.spm_share else "psm"
    if objective == "fim":
        return Choice("fim", mode, random_span(source, config.max_middle_bytes, draws))
    span = None
    if (known := LANGUAGES.get(language)) is not None and known.grammar is not None:
        span = draw_span(parser(known), source, max_middle_bytes=config.max_middle_bytes, uniform=draws.uniform)
    if span is None:
        return Choice("ntp", "none", None, without_node=True)
    return Choice("sfim", mode, span)


def random_span(source: bytes, max_middle_bytes: int, draws: Draws) -> Span:
    """A span between two random character boundaries at most `max_middle_bytes` apart; it may be empty.

    In a file no longer than that the boundaries are two independent uniform places.
    """
    one = int(draws.uniform("one boundary") * (len(source) + 1))
    lowest, highest = max(0, one - max_middle_bytes), min(len(source), one + max_middle_bytes)
    other = lowest + int(draws.uniform("other boundary") * (highest - lowest + 1))
    start, end = sorted((one, other))
    # Towards each other, so that the middle does not outgrow its limit.
    while start < len(source) and source[start] & 0xC0 == 0x80:
        start += 1
    while end < len(source) and source[end] & 0xC0 == 0x80:
        end -= 1
    return Span(start, max(start, end), "")


def _objective(config: DataConfig, number: float) -> Objective:
    if number < config.ntp_share:
        return "ntp"
    return "fim" if number < config.ntp_share + config.fim_share else "sfim"
