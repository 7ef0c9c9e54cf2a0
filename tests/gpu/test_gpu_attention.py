"""Attention by document in one FlashAttention call, against one call of torch's per document, and who may be forced."""

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from megatron.core.transformer.transformer_config import TransformerConfig
from torch.nn.functional import scaled_dot_product_attention

from aixmeg.model import attention, flash
from aixmeg.model.documents import attend_by_document, document_table

S = 512
STARTS = [np.array([0, 1, 100, 130, 300, 500]), np.array([0, 250])]


@pytest.fixture(params=["_of_torch", "_of_flash_attn"])
def kernel(request, device):
    """Whosever there is; a GPU before Ampere has none."""
    found = getattr(flash, request.param)() if flash.find_varlen() is not None else None
    if found is None:
        pytest.skip(f"{request.param} finds no kernel here")
    return found[1]


def attend(query, key, value):
    """In float32, by the mathematics."""
    query, key, value = (x.float().permute(1, 2, 0, 3) for x in (query, key, value))
    mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
    mask = mask.tril(key.shape[2] - query.shape[2])
    out = scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    return out.permute(2, 0, 1, 3).flatten(2)


def inputs(device, batch, head_size=128, dtype=torch.bfloat16):
    torch.manual_seed(0)
    shapes = ((S, batch, heads, head_size) for heads in (8, 2, 2))
    return [torch.randn(shape, device=device).to(dtype).requires_grad_() for shape in shapes]


def table(batch):
    return document_table(STARTS[:batch], S, reset_position_ids=False)


@pytest.mark.parametrize("head_size", [128, 100, 256])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("first", "end"), [(0, S), (128, 256), (384, S)], ids=str)
def test_one_call_equals_one_per_document(device, kernel, batch, first, end, head_size):
    documents = table(batch)
    query, key, value = parts = inputs(device, batch, head_size)
    packed = functools.partial(flash.attend_packed, kernel)
    ours = packed(query[first:end], key, value, documents, first=first)
    theirs = attend_by_document(attend, query[first:end], key, value, documents, first=first)
    # bf16 rounds scores' weights and results: 2^-8 of values of order one, twice; its gradients sum up to 512 of them.
    torch.testing.assert_close(ours.float(), theirs, rtol=2e-2, atol=2e-2)
    weight = torch.randn_like(theirs)
    for one, other in zip(
        torch.autograd.grad((ours.float() * weight).sum(), parts),
        torch.autograd.grad((theirs * weight).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one.float(), other.float(), rtol=4e-2, atol=4e-2 * other.abs().max().item())


def module(backend):
    config = TransformerConfig(num_layers=1, hidden_size=1024, num_attention_heads=8, num_query_groups=2)
    return attention.RotaryAttention(config, rotary_base=10_000.0, max_sequence_length=S, backend=backend)


def test_backends_agree_and_auto_makes_one_call(device, monkeypatch):
    if flash.find_varlen() is None:
        pytest.skip("neither torch.nn.attention.varlen nor flash-attn here")
    calls = []
    monkeypatch.setattr(attention, "attend_packed", lambda *a, **k: (calls.append(1), flash.attend_packed(*a, **k))[1])
    documents, parts = table(2), inputs(device, 2)
    found = {backend: module(backend)(*parts, documents) for backend in ("auto", "flash", "sdpa")}
    assert len(calls) == 2  # sdpa makes one per document, of another kernel
    torch.testing.assert_close(found["auto"], found["flash"], rtol=0, atol=0)
    torch.testing.assert_close(found["auto"], found["sdpa"], rtol=2e-2, atol=2e-2)  # bf16, as above
    module("auto")(*inputs(device, 2, dtype=torch.float32), documents)
    assert len(calls) == 2, "fp32 is not for the kernel"


def test_flash_is_flash_or_an_error(device):
    if flash.find_varlen() is None:
        pytest.skip("no FlashAttention here")
    torch.testing.assert_close(
        module("flash")(*inputs(device, 2)), attend(*inputs(device, 2)).bfloat16(), rtol=2e-2, atol=2e-2
    )
    with pytest.raises(RuntimeError, match="No available kernel"):
        module("flash")(*inputs(device, 2, dtype=torch.float32))


def test_a_chunk_of_context_parallelism_is_flash_too(device):
    """Fewer queries than keys: `_lower_right`'s mask must keep its name all the way to the kernel."""
    if flash.find_varlen() is None:
        pytest.skip("no FlashAttention here")
    query, key, value = inputs(device, 1)
    found = module("flash")._attend(query[128:256], key[:256], value[:256])
    torch.testing.assert_close(found, attend(query[128:256], key[:256], value[:256]).bfloat16(), rtol=2e-2, atol=2e-2)


def test_a_model_trains_inside_documents_as_with_one_call_each(device):
    """Losses of a few steps in bf16, by backend."""
    from aixmeg.config import PRESETS, Config, TrainConfig
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.batches import Batch
    from aixmeg.train.build import build_training
    from aixmeg.train.step import train_step

    if flash.find_varlen() is None:
        pytest.skip("neither torch.nn.attention.varlen nor flash-attn here")
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    curves = []
    try:
        for backend in ("flash", "sdpa"):
            model = replace(PRESETS["tiny"], num_layers=2, seq_length=S, vocab_size=512, attention_backend=backend)
            train = TrainConfig(steps=8, global_batch_size=2, micro_batch_size=2, document_mask="example")
            config = Config(model=model, train=train)
            topology = Topology.create(config.parallel, config.train.seed)
            training = build_training(config, topology, device)
            ids = torch.randint(0, 512, (2, S + 1), generator=torch.Generator().manual_seed(1)).to(device)
            batch = Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous(), documents=table(2))
            curves.append([train_step(training, [batch], lr=3e-3).loss for _ in range(8)])
            topology.destroy()
    finally:
        torch.distributed.destroy_process_group()
    assert curves[0][-1] < curves[0][0] - 0.5
    # Two bf16 kernels round apart, and eight steps that memorise a sample amplify it.
    np.testing.assert_allclose(curves[0], curves[1], rtol=2e-2)
