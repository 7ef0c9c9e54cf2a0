"""Documents in one call of a kernel for sequences of different lengths, against masked attention in float64."""

import dataclasses
import inspect
import sys
import types

import numpy as np
import pytest
import torch
from varlen_reference import dense, varlen

from aixmeg.config import Config, ModelConfig, TrainConfig, conflicts
from aixmeg.errors import UserError
from aixmeg.model import flash
from aixmeg.model.documents import attend_by_document, document_table
from aixmeg.parallel.context import chunk_ends

S = 32


def sample(seed, batch, head_size=8):
    rng = np.random.default_rng(seed)
    starts = [np.append(0, np.sort(rng.choice(np.arange(1, S), rng.integers(0, 9), replace=False)))
              for _ in range(batch)]  # fmt: skip
    documents = document_table(starts, S, reset_position_ids=bool(seed % 2))
    torch.manual_seed(seed)
    heads = ((6, head_size), (2, head_size), (2, head_size))
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


@pytest.mark.parametrize("scale", [None, 0.3])
def test_heads_of_any_size_are_padded_for_the_kernel(scale):
    documents, inputs = sample(1, 2, head_size=10)  # `varlen` refuses it, as torch's kernel does
    found = flash.attend_packed(varlen, *inputs, documents, scale=scale)
    expected = masked(*inputs, documents, 0, scale)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    ours, theirs = (torch.autograd.grad(out.square().sum(), inputs) for out in (found, expected))
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


def of_2_11(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1)):
    """As many key heads as query heads, says its documentation."""
    assert key.shape[1] == query.shape[1] and window_size == (-1, 0) and return_aux is None
    return varlen(query, key, value, (cu_seq_q, cu_seq_k), (max_q, max_k), scale=scale)


def of_2_13(
    query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, return_aux=None, scale=None, window_size=(-1, -1),
    enable_gqa=False, seqused_k=None, block_table=None, num_splits=None,
):  # fmt: skip
    assert enable_gqa and window_size == (-1, 0) and return_aux is seqused_k is block_table is num_splits is None
    return varlen(query, key, value, (cu_seq_q, cu_seq_k), (max_q, max_k), scale=scale)


def of_flash_attn(
    q, k, v, cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k, dropout_p=0.0, softmax_scale=None, causal=False,
    window_size=(-1, -1), softcap=0.0, alibi_slopes=None, deterministic=False, return_attn_probs=False,
    block_table=None,
):  # fmt: skip
    assert causal and deterministic == torch.are_deterministic_algorithms_enabled() and dropout_p == 0.0
    return varlen(q, k, v, (cu_seqlens_q, cu_seqlens_k), (max_seqlen_q, max_seqlen_k), scale=softmax_scale)


@pytest.mark.parametrize(
    ("module", "name", "function", "find"),
    [
        ("torch.nn.attention.varlen", "varlen_attn", of_2_11, flash._of_torch),
        ("torch.nn.attention.varlen", "varlen_attn", of_2_13, flash._of_torch),
        ("flash_attn", "flash_attn_varlen_func", of_flash_attn, flash._of_flash_attn),
    ],
    ids=["torch 2.11", "torch 2.13", "flash-attn"],
)
def test_every_interface_is_called_as_it_is_documented(monkeypatch, module, name, function, find):
    monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: function}))
    documents, inputs = sample(2, 2)
    found = flash.attend_packed(find()[1], *inputs, documents)
    torch.testing.assert_close(found, masked(*inputs, documents, 0, None), rtol=1e-12, atol=1e-12)


def test_older_interfaces_are_left_alone(monkeypatch):
    """torch 2.10's, without a window; flash-attn's before 2.1, whose causal mask begins at the first key."""
    for module, name, find in (
        ("torch.nn.attention.varlen", "varlen_attn", flash._of_torch),
        ("flash_attn", "flash_attn_varlen_func", flash._of_flash_attn),
    ):
        older = types.SimpleNamespace(**{name: lambda query, key, value, causal=False, scale=None: None})
        monkeypatch.setitem(sys.modules, module, older)
        assert find() is None
        monkeypatch.setitem(sys.modules, module, None)  # importing it fails
        assert find() is None


def test_torch_has_the_interface_that_is_called():
    """A newer torch that renames an argument must be seen."""
    from torch.nn.attention.varlen import varlen_attn

    theirs, ours = (list(inspect.signature(one).parameters) for one in (varlen_attn, of_2_13))
    assert theirs[: len(ours)] == ours
    assert flash._of_torch() is not None
    assert flash.find_varlen() is None or torch.cuda.is_available()


@pytest.fixture
def gpu(monkeypatch):
    """A GPU as far as the choice of a kernel sees: its compute capability can be set."""
    known = types.SimpleNamespace(capability=(8, 0))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: known.capability)
    flash.find_varlen.cache_clear()
    yield known
    flash.find_varlen.cache_clear()


def queries(dtype=torch.bfloat16, head_size=128, is_cuda=True):
    return types.SimpleNamespace(shape=(4, 1, 2, head_size), dtype=dtype, is_cuda=is_cuda)


def test_the_kernel_is_called_for_what_it_takes_and_nothing_else(gpu):
    assert flash.varlen_for(queries(), "auto") is not None
    assert flash.varlen_for(queries(torch.float16, 256), "flash") is not None
    for left in (queries(torch.float32), queries(head_size=264), queries(is_cuda=False)):
        assert flash.varlen_for(left, "auto") is None
    assert flash.varlen_for(queries(), "sdpa") is None


def test_a_gpu_before_ampere_has_no_kernel(gpu):
    gpu.capability = (7, 5)
    assert flash.find_varlen() is None
    with pytest.raises(
        UserError, match=r"compute capability 8.0 or newer, not 7.5; set model.attention_backend to auto"
    ):
        flash.require_backend(config(attention_backend="flash"), torch.device("cuda"))


def config(precision="bf16", **model):
    return Config(model=ModelConfig(**model), train=TrainConfig(document_mask="example", precision=precision))


def test_flash_is_refused_where_it_cannot_be_had(gpu, monkeypatch):
    with pytest.raises(
        UserError, match="needs a GPU, and this rank trains on cpu; set model.attention_backend to auto"
    ):
        flash.require_backend(config(attention_backend="flash"), torch.device("cpu"))
    flash.require_backend(config(attention_backend="sdpa"), torch.device("cpu"))
    flash.require_backend(config(), torch.device("cpu"))
    flash.require_backend(config(attention_backend="flash"), torch.device("cuda"))
    monkeypatch.setattr(flash, "_of_torch", lambda: None)
    monkeypatch.setattr(flash, "_of_flash_attn", lambda: None)
    flash.find_varlen.cache_clear()
    with pytest.raises(UserError, match=r"torch.nn.attention.varlen or flash-attn for train.document_mask=example"):
        flash.require_backend(config(attention_backend="flash"), torch.device("cuda"))


def test_what_no_machine_can_do_is_told_with_the_other_rules():
    assert not any("attention_backend" in text for text in conflicts(config(attention_backend="flash")))
    wide = config("fp32", attention_backend="flash", kv_channels=264)
    found = [text for text in conflicts(wide) if "attention_backend" in text]
    assert len(found) == 2
    assert "attention_backend=flash needs train.precision=bf16, not fp32" in found[0]
    assert "takes heads of at most 256, not 264" in found[1]
    te = config(attention_backend="sdpa", layer_set="te")
    te = dataclasses.replace(te, train=dataclasses.replace(te.train, document_mask=None))
    assert any("attention_backend=sdpa needs model.layer_set=native" in text for text in conflicts(te))
