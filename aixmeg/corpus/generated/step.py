"""The step: drop what people did not write here. It reads names first, then statistics, then words."""

from __future__ import annotations

from typing import Final

from aixmeg.config.corpus import GeneratedConfig
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.generated.markers import says_generated
from aixmeg.corpus.generated.names import is_generated_name, is_vendored
from aixmeg.corpus.generated.statistics import Statistics, statistics
from aixmeg.corpus.licence.comment import only_comments
from aixmeg.corpus.reasons import Dropped

_BOILERPLATE: Final = 16_384
"""Bytes above which nobody writes only comments."""


def make_step(config: GeneratedConfig) -> Step:
    """The step of a configuration; it drops as vendored, generated, long_lines, minified, low_alphanumeric, data_like
    or boilerplate, in this order, and changes nothing.
    """
    folders = frozenset(one.lower() for one in config.vendored_folders)

    def step(document: Document) -> None:
        if config.vendored and is_vendored(document.path, folders):
            raise Dropped("vendored")
        if config.names and is_generated_name(document.path):
            raise Dropped("generated")
        if config.markers and says_generated(document.content):
            raise Dropped("generated")
        if (reason := shape(statistics(document.content), config)) is not None:
            raise Dropped(reason)
        if config.boilerplate and len(document.content) < _BOILERPLATE and only_comments(document.content):
            raise Dropped("boilerplate")

    return step


def shape(counts: Statistics, config: GeneratedConfig) -> str | None:
    """The reason to drop a file for its statistics, or None."""
    size, visible = max(1, counts.bytes), max(1, counts.visible)
    mean = config.minified_mean_line
    if mean and counts.mean_line > mean and counts.in_long_lines and counts.space < config.minified_space_share * size:
        return "minified"
    if config.max_line_bytes and counts.longest > config.max_line_bytes:
        return "long_lines"
    if counts.bytes >= config.data_min_bytes and counts.in_long_lines > config.max_long_lines_share * size:
        return "long_lines"
    if counts.alphanumeric < config.min_alphanumeric_share * visible:
        return "low_alphanumeric"
    if counts.bytes >= config.data_min_bytes and (
        counts.numbers > config.max_numbers_share * visible
        or counts.quoted > config.max_quoted_share * size
        or counts.coded > config.max_encoded_share * size
    ):
        return "data_like"
    return None
