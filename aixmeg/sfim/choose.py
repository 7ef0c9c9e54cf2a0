"""Objective, form and middle of one file: a pure function of (seed, epoch, document id).

The document id is the repository's name and the path in it, so other files of the corpus change nothing. Each choice
hashes its own purpose: another share of NTP moves no middle, another number of attempts no form.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from aixmeg.config import DataConfig
from aixmeg.languages import LANGUAGES
from aixmeg.sfim.draw import draw_middle
from aixmeg.sfim.plain import line_span, random_span
from aixmeg.sfim.view import Span
from aixmeg.syntax import ParseLimit, SyntaxTree, parse

Objective = Literal["ntp", "fim", "sfim"]
Mode = Literal["none", "psm", "spm"]
WithoutTree = Literal["", "no_grammar", "parse_limit", "no_place"]
"""Why structured FIM became something else: no grammar, a parser that gave up, or no middle that fits."""


@dataclass(frozen=True)
class Draws:
    """Reproducible uniform numbers, one per purpose, independent of each other."""

    seed: int
    epoch: int
    document: str

    def uniform(self, purpose: str) -> float:
        """A multiple of 2**-53 in [0, 1)."""
        key = f"{self.seed}\0{self.epoch}\0{purpose}\0{self.document}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


@dataclass(frozen=True)
class Choice:
    """What an example of one file looks like."""

    objective: Objective
    mode: Mode
    span: Span | None
    """Bytes of the middle; None for NTP."""
    strategy: str = ""
    """How the middle was chosen: one of `aixmeg.config.sfim.STRATEGIES`, `random`, `lines`; "" for NTP."""
    without_tree: WithoutTree = ""
    """Structured FIM was drawn and could not be; "" otherwise."""


def document_id(repository: str, path: str) -> str:
    """Identity of a file, whatever else the corpus holds."""
    return f"{repository}\0{path}"


def choose(
    config: DataConfig,
    *,
    repository: str,
    path: str,
    language: str,
    source: bytes,
    stored: Callable[[], SyntaxTree | None] = lambda: None,
    accept: Callable[[int, int], bool] = lambda _start, _end: True,
    infill: bool = False,
) -> Choice:
    """Choose objective, form and middle of a file.

    Args:
        config: shares, seed, epoch, strategies and sizes.
        repository: name of the repository.
        path: path of the file in it.
        language: key of `LANGUAGES`; a language without a grammar has no nodes.
        source: the file's bytes, valid UTF-8.
        stored: gives its syntax tree where one was kept; asked, and else parsed, for structured FIM alone.
        accept: whether the bytes [start, end) are few and many enough tokens; asked for structured middles.
        infill: draw among the infilling objectives only.
    """
    draws = Draws(config.seed, config.epoch, document_id(repository, path))
    objective = _objective(config, draws, repository, infill=infill)
    if objective == "ntp":
        return Choice("ntp", "none", None)
    mode: Mode = "spm" if draws.uniform("mode") < config.spm_share else "psm"
    if objective == "fim":
        return Choice("fim", mode, random_span(source, config.max_middle_bytes, draws.uniform), "random")
    known = LANGUAGES.get(language)
    if known is None or known.grammar is None:
        return _without_tree(config, source, draws, mode, "no_grammar")
    try:
        tree = stored() or parse(known, source)
    except ParseLimit:
        return _without_tree(config, source, draws, mode, "parse_limit")
    drawn = draw_middle(
        tree, config.sfim, max_middle_bytes=config.max_middle_bytes, uniform=draws.uniform, accept=accept
    )
    if drawn is None:
        return _without_tree(config, source, draws, mode, "no_place")
    return Choice("sfim", mode, drawn.span, drawn.strategy)


def _objective(config: DataConfig, draws: Draws, repository: str, *, infill: bool) -> Objective:
    """`ntp_share` counts the files of repositories that are NTP as a whole; other files make up the rest of it."""
    whole, ntp = config.ntp_repository_share, config.ntp_share
    if whole and not infill:
        if Draws(draws.seed, draws.epoch, repository).uniform("whole repository") < whole:
            return "ntp"
        ntp = (ntp - whole) / (1 - whole)
    number = draws.uniform("objective")
    if infill:
        ntp = 0.0
    elif number < ntp:
        return "ntp"
    else:
        number = (number - ntp) / (1 - ntp)
    infilling = 1.0 - config.ntp_share
    return "fim" if number * infilling < config.fim_share and config.fim_share else "sfim"


def _without_tree(config: DataConfig, source: bytes, draws: Draws, mode: Mode, reason: WithoutTree) -> Choice:
    """What the configuration makes of a file that structured FIM has no place for."""
    kind = config.sfim.without_tree
    if kind == "line" and (span := line_span(source, config.max_middle_bytes, draws.uniform)):
        return Choice("fim", mode, span, "lines", reason)
    if kind == "ntp" or len(source.strip()) < 2:
        return Choice("ntp", "none", None, "", reason)
    return Choice("fim", mode, random_span(source, config.max_middle_bytes, draws.uniform), "random", reason)
