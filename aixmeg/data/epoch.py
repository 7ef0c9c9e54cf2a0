"""The token stream of one epoch: the documents in a new order, laid end to end, without an array over all of them.

Documents are shuffled in two levels: blocks of 4,096 neighbours in the order of the index, and the documents inside a
block. So an epoch needs the place of each block in its stream, and of the documents only those of the blocks that are
read, a few at a time. With fewer documents than a block holds this is a shuffle of all of them. (A document is a
repository, and the corpus holds repositories in random order, so neighbours in a block have nothing in common.)
"""

from __future__ import annotations

from collections.abc import Iterator
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
        return self._blocks.stream.join(self.pieces(start, stop), stop - start)

    def pieces(self, start: int, stop: int) -> list[tuple[int, int]]:
        """Where these tokens are stored: (position, length) of each document's part."""
        found: list[tuple[int, int]] = []
        place = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            block = int(self._order[place])
            begin = int(self._ends[place]) - int(self._blocks.tokens[block])
            for piece in self._of_one(block, start - begin, stop - begin):
                found.append(piece)
                start += piece[1]
            place += 1
        return found

    def _of_block(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Documents of a block in this epoch's order, and where each ends in the block."""
        first = block * BLOCK_DOCUMENTS
        last = min(first + BLOCK_DOCUMENTS, len(self._blocks.stream))
        documents = first + permutation(last - first, self._seed, self._epoch, f"documents/{block}")
        lengths = np.asarray(self._blocks.stream.lengths[first:last], np.int64)
        return documents, np.cumsum(lengths[documents - first])

    def _of_one(self, block: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Pieces of the block's tokens [start, stop), as far as it has them."""
        stream, (documents, ends) = self._blocks.stream, self._documents(block)
        place = int(np.searchsorted(ends, start, side="right"))
        while start < stop and place < len(documents):
            document, end = int(documents[place]), int(ends[place])
            if end > start:
                skip = start - (end - int(stream.lengths[document]))
                yield int(stream.starts[document]) + skip, min(end, stop) - start
                start = min(end, stop)
            place += 1
