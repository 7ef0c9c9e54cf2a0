"""Initial weights: a pure function of (seed, global parameter name), the same for every parallel layout and device.

A matrix is drawn in blocks of rows, each from its own Philox stream keyed by (seed, name, block). A rank whose shard
is a run of rows draws only the blocks that it touches; one whose shard is columns draws every block and keeps its
columns, so no rank ever holds more than one block beside its own shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from aixmeg.model.names import ParameterInfo, Sharding

BLOCK_ROWS = 256
"""Rows per stream; part of the definition of the initial weights, so it never changes."""


def initial_shard(info: ParameterInfo, seed: int, *, tp_rank: int, tp_size: int) -> Iterator[tuple[int, Tensor]]:
    """Pieces `(first local row, [rows, columns] fp32)` of the shard of a matrix that `tp_rank` holds."""
    rows, columns = info.shape
    kept = slice(None)
    if info.sharding is Sharding.COLUMNS:
        width = columns // tp_size
        kept = slice(tp_rank * width, (tp_rank + 1) * width)
    local = 0
    for start, stop in row_ranges(info, tp_rank=tp_rank, tp_size=tp_size):
        for block in range(start // BLOCK_ROWS, (stop - 1) // BLOCK_ROWS + 1):
            first = block * BLOCK_ROWS
            values = _block(info, seed, block, rows=min(BLOCK_ROWS, rows - first))
            piece = values[max(start - first, 0) : stop - first, kept]
            yield local, piece
            local += piece.shape[0]


def row_ranges(info: ParameterInfo, *, tp_rank: int, tp_size: int) -> list[tuple[int, int]]:
    """The rows of the whole tensor, as half-open ranges, that the shard holds, in its order."""
    rows = info.shape[0]
    if info.sharding in (Sharding.COLUMNS, Sharding.REPLICATED):
        return [(0, rows)]
    runs = 2 if info.sharding is Sharding.GATE_UP else 1
    length, part = rows // runs, rows // runs // tp_size
    return [(run * length + tp_rank * part, run * length + (tp_rank + 1) * part) for run in range(runs)]


@torch.no_grad()
def initialise(parameter: Tensor, info: ParameterInfo, seed: int, *, tp_rank: int, tp_size: int) -> None:
    """Fill `parameter`, this rank's shard of `info`, with its initial weights."""
    if info.init_std is None:
        parameter.fill_(1.0)
        return
    for row, piece in initial_shard(info, seed, tp_rank=tp_rank, tp_size=tp_size):
        parameter[row : row + piece.shape[0]].copy_(piece)


def _block(info: ParameterInfo, seed: int, block: int, *, rows: int) -> Tensor:
    digest = hashlib.sha256(f"aixmeg initial weights\0{seed}\0{info.name}\0{block}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    values = generator.standard_normal((rows, info.shape[1]), dtype=np.float32)
    return torch.from_numpy(values).mul_(info.init_std or 0.0)
