"""The steps: judge prose when it is scanned, clean it when it is read again. Code passes untouched."""

from __future__ import annotations

import hashlib
from typing import Final

from aixmeg.config.corpus import ProseConfig
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.licence.texts import matches
from aixmeg.corpus.prose.clean import cleaned
from aixmeg.corpus.prose.names import PROSE_LANGUAGES, is_boilerplate
from aixmeg.corpus.prose.quality import shortcoming
from aixmeg.corpus.reasons import Dropped

KIND: Final = "prose"
"""Of `tags["kind"]`. Steps that are about code leave such documents alone."""


def is_prose(document: Document) -> bool:
    """Whether it is natural language."""
    return document.language in PROSE_LANGUAGES


def make_step(config: ProseConfig) -> Step:
    """For the scan: drops prose that is not to be kept (prose_weight, prose_boilerplate, prose_too_short,
    prose_not_words, prose_list, prose_not_english, prose_repetitive) and changes nothing.
    """

    def step(document: Document) -> None:
        if not is_prose(document):
            return
        document.tags["kind"] = KIND
        if not drawn(config, document.repository, document.path):
            raise Dropped("prose_weight")
        if config.boilerplate and (is_boilerplate(document.path) or _is_licence(document.content)):
            raise Dropped("prose_boilerplate")
        text = document.content.decode()
        reason = shortcoming(cleaned(text) if config.clean else text, config)
        if reason is not None:
            raise Dropped(reason)

    return step


def make_cleaner(config: ProseConfig) -> Step:
    """For the second reading: removes clutter, counts it, and marks the document as prose."""

    def step(document: Document) -> None:
        if not is_prose(document):
            return
        document.tags["kind"] = KIND
        if not config.clean:
            return
        before = document.content.decode()
        after = cleaned(before, document.counts)
        if after != before:
            document.replace(after.encode())

    return step


def drawn(config: ProseConfig, repository: str, path: str) -> bool:
    """Whether the share of prose that is kept holds this document: a function of seed, repository and path alone, so
    that a larger share holds all that a smaller one does.
    """
    key = "\0".join((str(config.seed), "prose", repository, path)).encode("utf-8", "surrogatepass")
    draw = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 11
    return draw * 2.0**-53 < config.weight


def _is_licence(content: bytes) -> bool:
    """Whether most of the document is the text of a licence."""
    if len(content) > 100_000 or b"icens" not in content:
        return False
    found = matches(content)
    return bool(found) and sum(one.words * one.similarity for one in found) > 0.6 * len(content.split())
