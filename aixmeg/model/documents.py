"""Attention that does not cross the borders of the documents that a sample is packed from.

Borders travel as one small table on the host, a row per document: its row in the batch, its first position, the one
behind its last, and the position id of its first token. It goes through megatron-core as the attention mask, so that a
layer whose activations are made again in the backward pass finds that of its own micro-batch.

Each document is a causal attention of its own, so that no mask is made and torch's fused kernels skip what is masked.

Legend: `s` sequence, `n` some of its tokens, `b` batch, `np` query heads, `ng` key-value groups, `hn` head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def document_table(starts: Sequence[np.ndarray], length: int, *, reset_position_ids: bool) -> Tensor:
    """The table `[documents, 4]` int64 of a micro-batch.

    Args:
        starts: first positions of the documents of each sequence, ascending from 0.
        length: of a sequence.
        reset_position_ids: count positions from 0 in each document instead of in the sequence.
    """
    rows = []
    for row, begins in enumerate(starts):
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), length], strict=True):
            rows.append((row, begin, end, 0 if reset_position_ids else begin))
    return torch.tensor(rows, dtype=torch.int64)


def check_table(mask: Tensor | None) -> None:
    """Refuse what is no table.

    Raises:
        ValueError: another kind of mask, which causal attention would ignore.
    """
    if mask is not None and not (mask.dtype == torch.int64 and mask.dim() == 2 and mask.shape[1] == 4):
        raise ValueError(
            f"attention is causal, over sequences or documents: a mask of {mask.dtype} {list(mask.shape)} is not read"
        )


def position_ids(documents: Tensor, length: int, batch: int) -> Tensor | None:
    """Positions `[s, b]` int64 on the host; None where each sequence counts from 0 to s - 1."""
    if torch.equal(documents[:, 1], documents[:, 3]):
        return None
    positions = torch.empty(length, batch, dtype=torch.int64)
    for row, begin, end, first in documents.tolist():
        positions[begin:end, row] = torch.arange(first, first + end - begin)
    return positions


def attend_by_document(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    query: Tensor,  # [n, b, np, hn]
    key: Tensor,  # [s, b, ng, hn]
    value: Tensor,  # [s, b, ng, hn]
    documents: Tensor,
    *,
    first: int = 0,
) -> Tensor:
    """Attention output `[n, b, np * hn]` of the tokens at positions first … first + n - 1 of each sequence.

    Args:
        attend: causal attention of queries at the end of as many or more keys.
        query: of these tokens.
        key: of the whole sequence, as `value`.
        documents: of `document_table`.
        first: position of the first query.
    """
    stop = first + len(query)
    rows = []
    for row in range(query.shape[1]):
        spans = [
            (begin, max(begin, first), min(end, stop))
            for where, begin, end, _ in documents.tolist()
            if where == row and begin < stop and end > first
        ]
        # Split, not sliced: the gradient of a slice is a tensor as large as the whole, one per document.
        queries = query[:, row : row + 1].split([high - low for _, low, high in spans])
        sizes = [high - begin for begin, _, high in spans]
        keys, values = (x[spans[0][0] : stop, row : row + 1].split(sizes) for x in (key, value))
        rows.append(torch.cat([attend(*parts) for parts in zip(queries, keys, values, strict=True)]))
    return torch.cat(rows, dim=1)
