"""Documents in one call of a kernel for sequences of different lengths, against masked attention in float64."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from aixmeg.config import Config, ModelConfig, TrainConfig, conflicts
from aixmeg.errors import UserError
from aixmeg.model import flash
from aixmeg.model.documents import attend_by_document, document_table
from aixmeg.parallel.context import chunk_ends

S = 32


def varlen(query, key, value, starts, longest, *, scale):
    """What torch.nn.attention.varlen and flash-attn document: causal, aligned at the end, heads in groups."""
    assert query.dim() == key.dim() == 3 and all(one.dtype == torch.int32 for one in starts)
    bounds = [list(itertools.pairwise(one.tolist())) for one in starts]
    assert tuple(max(end - begin for begin, end in pairs) for pairs in bounds) == longest
    assert [one[-1].item() for one in starts] == [len(query), len(key)], "nothing is left over"
    rows = []
    for (q0, q1), (k0, k1) in zip(*bounds, strict=True):
        seen = torch.ones(q1 - q0, k1 - k0, dtype=torch.bool).tril((k1 - k0) - (q1 - q0))
        rows.append(dense(query[q0:q1], key[k0:k1], value[k0:k1], seen, scale))
    return torch.cat(rows)


def dense(query, key, value, seen, scale):
    """`[n, np, hn]` queries that see the `[m, ng, hn]` keys of `seen`, bool [n, m]."""
    groups = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(groups, 1) for x in (key, value))
    scores = torch.einsum("nhd,mhd->hnm", query, key) * (query.shape[-1] ** -0.5 if scale is None else scale)
    return torch.einsum("hnm,mhd->nhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), value)


def sample(seed, batch):
    rng = np.random.default_rng(seed)
    starts = [np.append(0, np.sort(rng.choice(np.arange(1, S), rng.integers(0, 9), replace=False)))
              for _ in range(batch)]  # fmt: skip
    documents = document_table(starts, S, reset_position_ids=bool(seed % 2))
    torch.manual_seed(seed)
    heads = ((6, 8), (2, 8), (2, 8))
    return documents, [torch.randn(S, batch, *head, dtype=torch.float64, requires_grad=True) for head in heads]


def masked(query, key, value, documents, first, scale):
    """The same, a row of the batch and a whole mask at a time."""
    rows = []
    for row in range(query.shape[1]):
        of = torch.empty(S, dtype=torch.int64)
        for number, (_, begin, end, _) in enumerate(one for one in documents.tolist() if one[0] == row):
            of[begin:end] = number
        place = torch.arange(S)
        seen = (of[:, None] == of) & (place[:, None] >= place)
        part = slice(first, first + len(query))
        rows.append(dense(query[:, row], key[:, row], value[:, row], seen[part], scale))
    return torch.stack(rows, dim=1).flatten(2)


@pytest.mark.parametrize("cp", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_one_call_is_masked_attention(seed, batch, cp):
    documents, inputs = sample(seed, batch)
    query, key, value = inputs
    scale = 0.3 if seed == 5 else None
    chunk = S // (2 * cp)
    ends = [S] if cp == 1 else [end for rank in range(cp) for end in chunk_ends(S, rank=rank, size=cp)]
    assert cp == 1 or sorted(ends) == list(range(chunk, S + 1, chunk))
    for end in ends:
        first = 0 if cp == 1 else end - chunk
        found = flash.attend_packed(varlen, query[first:end], key, value, documents, first=first, scale=scale)
        expected = masked(query[first:end], key, value, documents, first, scale)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        weight = torch.randn_like(found)
        ours = torch.autograd.grad((found * weight).sum(), inputs)
        theirs = torch.autograd.grad((expected * weight).sum(), inputs)
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_the_loop_over_documents_is_the_same_attention():
    documents, (query, key, value) = sample(3, 2)

    def attend(query, key, value):
        seen = torch.ones(len(query), len(key), dtype=torch.bool).tril(len(key) - len(query))
        return torch.stack([dense(query[:, 0], key[:, 0], value[:, 0], seen, None)], dim=1).flatten(2)

    for first, end in ((0, S), (8, 16), (24, 32)):
        found = flash.attend_packed(varlen, query[first:end], key, value, documents, first=first)
        looped = attend_by_document(attend, query[first:end], key, value, documents, first=first)
        torch.testing.assert_close(found, looped, rtol=1e-12, atol=1e-12)


def config(**model):
    return Config(model=ModelConfig(**model), train=TrainConfig(document_mask="example", precision="fp32"))


def test_flash_is_refused_where_it_cannot_be_had():
    with pytest.raises(UserError) as caught:
        flash.require_backend(config(attention_backend="flash"), torch.device("cpu"))
    for part in ("a GPU, and this rank trains on cpu", "precision=bf16, not fp32", "document_mask=example", "to auto"):
        assert part in str(caught.value)
    flash.require_backend(config(attention_backend="sdpa"), torch.device("cpu"))
    flash.require_backend(config(), torch.device("cpu"))


def test_te_has_no_sdpa():
    settings = config(attention_backend="sdpa", layer_set="te")
    settings = dataclasses.replace(settings, train=dataclasses.replace(settings.train, document_mask=None))
    assert any("attention_backend=sdpa needs model.layer_set=native" in text for text in conflicts(settings))


def test_torch_has_the_interface_that_is_called():
    """Of this torch; older ones without it fall back, but a newer one that renames an argument must be seen."""
    assert flash._of_torch() is not None
    assert flash.find_varlen() is None or torch.cuda.is_available()
