"""Attention by document in one FlashAttention call, against one call of torch's per document."""

import functools

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from aixmeg.model import flash
from aixmeg.model.documents import attend_by_document, document_table

S = 512


def attend(query, key, value):
    """In float32, by the mathematics."""
    query, key, value = (x.float().permute(1, 2, 0, 3) for x in (query, key, value))
    mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    mask = mask.tril(key.shape[2] - query.shape[2])
    out = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    return out.permute(2, 0, 1, 3).flatten(2)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("first", "end"), [(0, S), (128, 256), (384, S)], ids=str)
def test_one_call_equals_one_per_document(device, batch, first, end):
    found = flash.find_varlen()
    if found is None:
        pytest.skip("neither torch.nn.attention.varlen nor flash-attn here")
    starts = [np.array([0, 1, 100, 130, 300, 500]), np.array([0, 250])][:batch]
    documents = document_table(starts, S, reset_position_ids=False)
    torch.manual_seed(0)
    inputs = [torch.randn(S, batch, heads, 128, device=device).bfloat16().requires_grad_() for heads in (8, 2, 2)]
    query, key, value = inputs
    packed = functools.partial(flash.attend_packed, found[1])
    ours = packed(query[first:end], key, value, documents, first=first)
    theirs = attend_by_document(attend, query[first:end], key, value, documents, first=first)
    # bf16 rounds scores' weights and results: 2^-8 of values of order one, twice; its gradients sum up to 512 of them.
    torch.testing.assert_close(ours.float(), theirs, rtol=2e-2, atol=2e-2)
    weight = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad((ours.float() * weight).sum(), inputs),
        torch.autograd.grad((theirs * weight).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(one.float(), other.float(), rtol=4e-2, atol=4e-2 * other.abs().max().item())
