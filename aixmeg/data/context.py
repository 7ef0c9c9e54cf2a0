"""Examples of several files: a repository's files as plain text, and one behind them that is infilled.

In a drawn repository (`data.sfim.context_share`) the files, in the corpus's order, fall into groups. Each file closes
its group with the chance 1 / context_files, a pure function of (seed, epoch, document); so does one that the budget of
tokens leaves no room behind. The last file of a group has a middle, the others stand before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from aixmeg.config import DataConfig
from aixmeg.data.encode import Encoded, Encoder, Input
from aixmeg.sfim.choose import Choice, Draws, document_id
from aixmeg.sfim.format import Example

_BATCH: Final = 32
_PLAIN: Final = Choice("ntp", "none", None)


def encode_files(files: Iterable[Input], encoder: Encoder) -> Iterator[Encoded]:
    """The rows of neighbouring files, in their order. A group ends where a repository does, and with the last file."""
    for repository, members in itertools.groupby(files, key=lambda file: file.source.repository):
        if _in_context(encoder.config, repository):
            group = _Group(repository, encoder)
            for file in members:
                yield from group.add(file)
            yield from group.close()
        else:
            yield from _encode_apart(members, encoder)


def _encode_apart(files: Iterable[Input], encoder: Encoder) -> Iterator[Encoded]:
    """Each file an example. A few are chosen and then encoded: in turns, each would push the other out of the cache."""
    files = iter(files)
    while batch := list(itertools.islice(files, _BATCH)):
        choices = [encoder.choose(file) for file in batch]
        yield from map(encoder.lay_out, batch, choices)


def _in_context(config: DataConfig, repository: str) -> bool:
    share = config.sfim.context_share
    if not share:
        return False
    draws = Draws(config.seed, config.epoch, repository)
    if draws.uniform("whole repository") < config.ntp_repository_share:
        return False
    return draws.uniform("context") < share


@dataclass
class _Group:
    """The files of one example so far."""

    repository: str
    encoder: Encoder
    files: list[Input] = field(default_factory=list)
    plain: list[Example] = field(default_factory=list)
    """Each as it stands in front of another file, without `<s>`."""
    tokens: int = 1

    def add(self, file: Input) -> Iterator[Encoded]:
        """Take in a file; yields the rows of the group that it, or the budget, has closed."""
        limits, config = self.encoder.config.sfim, self.encoder.config
        plain = self.encoder.plain(file, first=False, last=False)
        if self.files and self.tokens + len(plain.ids) + 4 > limits.context_tokens:
            yield from self.close()
        self.files.append(file)
        self.plain.append(plain)
        self.tokens += len(plain.ids)
        draws = Draws(config.seed, config.epoch, document_id(self.repository, file.source.path))
        if draws.uniform("last of its example") * limits.context_files < 1:
            yield from self.close()

    def close(self) -> Iterator[Encoded]:
        """The rows of what is held: plain files, then the infilled one; nothing if nothing is held."""
        if not self.files:
            return
        *before, last = self.files
        lengths = [len(example.ids) for example in self.plain[:-1]]
        # The middle's cuts may cost a few tokens more than the estimate: then the first files stand alone.
        choice = self.encoder.choose(last, infill=True)
        target = self.encoder.lay_out(last, choice, place=len(before))
        limit = self.encoder.config.sfim.context_tokens
        alone = 0
        while alone < len(before) and 1 + sum(lengths[alone:]) + len(target.example.ids) > limit:
            yield Encoded(before[alone].source, self.encoder.plain(before[alone]), _PLAIN)
            alone += 1
        for place, file in enumerate(before[alone:]):
            example = self.encoder.plain(file, first=True, last=False) if place == 0 else self.plain[alone + place]
            yield Encoded(file.source, example, _PLAIN, place, in_front=True)
        if alone:
            target = self.encoder.lay_out(last, choice, place=len(before) - alone)
        yield target
        self.files, self.plain, self.tokens = [], [], 1
