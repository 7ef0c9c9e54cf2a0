"""What torch.nn.attention.varlen and flash-attn document of their kernels, in float64: tests without a GPU call this.

Sequences lie one behind the other; attention is causal inside each, aligned at its end; heads come in groups of one key
head each and have a multiple of eight columns.
"""

import itertools

import torch


def dense(query, key, value, seen, scale):
    """`[n, np, hn]` queries that see the `[m, ng, hn]` keys of `seen`, bool [n, m]."""
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    scores = torch.einsum("nhd,mhd->hnm", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return torch.einsum("hnm,mhd->nhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value)


def varlen(query, key, value, starts, longest, *, scale):
    """An `aixmeg.model.flash.Varlen` of any device and type that refuses what the kernels refuse."""
    dtype = query.dtype
    assert query.dim() == key.dim() == 3 and all(one.dtype == torch.int32 for one in starts)
    assert query.shape[-1] % 8 == 0 and query.shape[-1] <= 256
    bounds = [list(itertools.pairwise(one.tolist())) for one in starts]
    assert tuple(max(end - begin for begin, end in pairs) for pairs in bounds) == longest
    assert [one[0].item() for one in starts] == [0, 0]
    assert [one[-1].item() for one in starts] == [len(query), len(key)], "nothing is left over"
    query, key, value = (x.double() for x in (query, key, value))
    rows = []
    for (q0, q1), (k0, k1) in zip(*bounds, strict=True):
        seen = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril((k1 - k0) - (q1 - q0))
        rows.append(dense(query[q0:q1], key[k0:k1], value[k0:k1], seen, scale))
    return torch.cat(rows).to(dtype)
