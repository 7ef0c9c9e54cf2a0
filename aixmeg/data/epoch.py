"""The token stream of one epoch: the documents in a new order, laid end to end, without an array over all of them.

Documents are shuffled in two levels: blocks of 4,096 neighbours in the order of the index, and the documents inside a
block. So an epoch needs the place of each block in its stream, and of the documents only those of the blocks that are
read, a few at a time. With fewer documents than a block holds this is a shuffle of all of them. (A document is a
repository, and the corpus holds repositories in random order, so neighbours in a block have nothing in common.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from aixmeg.data.indexed import TokenStream
from aixmeg.data.shuffle import permutation

BLOCK_DOCUMENTS: Final = 4096
_BLOCKS_AT_HAND: Final = 256
"""16 MB of orders."""


class Blocks:
    """Where the blocks of documents begin in the stored stream; read once, a number per 4,096 documents."""

    def __init__(self, stream: TokenStream) -> None:
        self.stream = stream
        self.count = -(-len(stream) // BLOCK_DOCUMENTS)
        starts = np.asarray(stream.starts[::BLOCK_DOCUMENTS], np.int64)
        self.tokens = np.diff(starts, append=stream.total)


class EpochStream:
    """`read(start, stop)`: tokens of an epoch's stream, a function of (seed, epoch) and the documents alone."""

    def __init__(self, blocks: Blocks, *, seed: int, epoch: int) -> None:
        self._blocks, self._seed, self._epoch = blocks, seed, epoch
        self._order = permutation(blocks.count, seed, epoch, "blocks")
        self._ends = np.cumsum(blocks.tokens[self._order])
        self._documents = lru_cache(maxsize=_BLOCKS_AT_HAND)(self._of_block)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens [start, stop), int64."""
        tokens = np.empty(stop - start, np.int64)
        filled = 0
        place = int(np.searchsorted(self._ends, start, side="right"))
        while filled < len(tokens):
            block = int(self._order[place])
            begin = int(self._ends[place]) - int(self._blocks.tokens[block])
            filled = self._fill(block, start + filled - begin, tokens, filled)
            place += 1
        return tokens

    def _of_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents of a block in this epoch's order, and where each ends in the block."""
        first = block * BLOCK_DOCUMENTS
        last = min(first + BLOCK_DOCUMENTS, len(self._blocks.stream))
        documents = first + permutation(last - first, self._seed, self._epoch, f"documents/{block}")
        lengths = np.asarray(self._blocks.stream.lengths[first:last], np.int64)
        return documents, np.cumsum(lengths[documents - first])

    def _fill(self, block: int, start: int, tokens: np.ndarray, filled: int) -> int:
        """Copy the block's tokens from `start` on until `tokens` is full or the block ends; returns what is filled."""
        stream, (documents, ends) = self._blocks.stream, self._documents(block)
        place = int(np.searchsorted(ends, start, side="right"))
        while filled < len(tokens) and place < len(documents):
            document = int(documents[place])
            length = int(stream.lengths[document])
            skip = start - (int(ends[place]) - length)
            first = int(stream.starts[document]) + skip
            piece = stream.read(first, first + min(length - skip, len(tokens) - filled))
            tokens[filled : filled + len(piece)] = piece
            filled += len(piece)
            start += len(piece)
            place += 1
        return filled
