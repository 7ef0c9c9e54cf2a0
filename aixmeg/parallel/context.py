"""Context parallelism: a sequence cut over ranks, so that each holds the activations of its own part.

With cp ranks a sequence is cut into 2 · cp chunks, and rank i holds chunks i and 2 · cp - 1 - i: the early ones, which
attend to little, beside the late ones, which attend to much. That is also megatron-core's and Transformer Engine's cut.
Everything but attention works on a token by itself and does not notice; attention gathers keys and values of the whole
sequence, and its backward adds up their gradients on the rank that holds the token.

Legend: `s` sequence, `cp` context-parallel ranks.
"""

from __future__ import annotations

import torch
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from torch import Tensor
from torch.distributed import ProcessGroup


def local_positions(length: int, *, rank: int, size: int, device: torch.device | None = None) -> Tensor:
    """Positions in the sequence of a rank's tokens, in the order in which it holds them: int64 [s / cp].

    Raises:
        ValueError: `length` is not a multiple of 2 · cp.
    """
    if length % (2 * size):
        raise ValueError(f"a sequence of {length} tokens cannot be cut into 2 x {size} equal chunks")
    chunks = torch.arange(length, device=device).view(2 * size, -1)
    return chunks[[rank, 2 * size - 1 - rank]].flatten()


def local_part(x: Tensor, dim: int, *, rank: int, size: int) -> Tensor:
    """A rank's part of `x`, whose dimension `dim` is the sequence; `x` itself where there is one rank."""
    if size == 1:
        return x
    return x.index_select(dim, local_positions(x.shape[dim], rank=rank, size=size, device=x.device))


def gather_sequence(x: Tensor, group: ProcessGroup) -> Tensor:
    """The ranks' parts `[s / cp, …]` → `[s, …]` in the order of the sequence, on every rank; collective.

    Differentiable: the backward pass adds up what the ranks' parts of the loss say of each token.
    """
    size = group.size()
    held = gather_from_sequence_parallel_region(x, group=group).unflatten(0, (size, 2, -1))  # [cp, 2, s / 2cp, …]
    return torch.cat((held[:, 0], held[:, 1].flip(0))).flatten(0, 1)


def chunk_ends(length: int, *, rank: int, size: int) -> tuple[int, int]:
    """Where the two chunks of a rank end in a sequence of `length` tokens: what their last token attends to."""
    chunk = length // (2 * size)
    return (rank + 1) * chunk, (2 * size - rank) * chunk
