"""A packed sample whose documents attention keeps apart, against every document alone."""

import dataclasses

import numpy as np
import pytest
import torch

from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig, conflicts
from aixmeg.model.builder import build_model
from aixmeg.model.documents import document_table, position_ids

S, V = 24, 64
STARTS = (np.array([0, 5, 6, 20]), np.array([0]), np.array([0, 23]))
"""Of three sequences; documents of one token among them."""


def config(**train) -> Config:
    model = ModelConfig(
        num_layers=2, hidden_size=32, ffn_hidden_size=48, num_attention_heads=4, num_query_groups=2, seq_length=S,
        vocab_size=V, rotary_base=100.0,
    )  # fmt: skip
    options = TrainConfig(precision="fp32", global_batch_size=3, micro_batch_size=3, seed=4, **train)
    return Config(model=model, tokenizer=TokenizerConfig(vocab_size=V), train=options)


def sharp(topology):
    """A model whose attention is far from even, so that what is masked shows."""
    (model,) = build_model(config(), topology, device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "linear" in name and "norm" not in name:
                parameter.mul_(8.0)
    return model


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("reset", [False, True])
def test_every_document_is_as_if_alone(topology, reset):
    model = sharp(topology)
    torch.manual_seed(1)
    ids = torch.randint(V, (3, S + 1))
    tokens, labels = ids[:, :-1], ids[:, 1:].contiguous()
    table = document_table(STARTS, S, reset_position_ids=reset)
    packed = model(tokens, attention_mask=table, labels=labels)  # [b, s]
    alone = torch.empty_like(packed)
    for row, begin, end, _ in table.tolist():
        part = slice(begin, end)
        alone[row, part] = model(tokens[row : row + 1, part], labels=labels[row : row + 1, part])[0]
    plain = model(tokens, labels=labels)
    # float32: sums in another order, and angles of other positions whose differences are the same
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)
    assert (plain[0, 6:] - alone[0, 6:]).abs().min() > 0.01, "the mask must matter, or equal losses prove nothing"
    torch.testing.assert_close(packed[1], plain[1], rtol=1e-5, atol=1e-5)
    expected = gradients(model, alone.sum())
    for name, gradient in gradients(model, packed.sum()).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-3 * expected[name].abs().max().item())


def test_positions_restart_or_go_on():
    table = document_table([np.array([0, 2]), np.array([0])], 4, reset_position_ids=False)
    assert table.tolist() == [[0, 0, 2, 0], [0, 2, 4, 2], [1, 0, 4, 0]]
    assert position_ids(table, 4, 2) is None
    table = document_table([np.array([0, 2]), np.array([0])], 4, reset_position_ids=True)
    positions = position_ids(table, 4, 2)
    assert positions is not None
    assert positions.T.tolist() == [[0, 1, 0, 1], [0, 1, 2, 3]]


def test_positions_that_restart_reach_the_rotary_embedding(topology, monkeypatch):
    """The two are the same model but for rounding, so no loss tells them apart."""
    from aixmeg.model import attention

    seen, rotary_qkv = [], attention.rotary_qkv

    def noted(mixed, *tables, positions):
        seen.append(positions)
        return rotary_qkv(mixed, *tables, positions=positions)

    monkeypatch.setattr(attention, "rotary_qkv", noted)
    model, tokens = sharp(topology), torch.zeros(1, S, dtype=torch.int64)
    for mask in (None, False, True):
        table = None if mask is None else document_table([STARTS[0]], S, reset_position_ids=mask)
        model(tokens, attention_mask=table, labels=tokens)
    assert seen[:4] == [None] * 4
    for positions in seen[4:]:
        assert positions[:, 0].tolist() == [*range(5), 0, *range(14), *range(4)]


def test_rules():
    assert conflicts(config(document_mask="example", reset_position_ids=True)) == []
    (text,) = conflicts(config(reset_position_ids=True))
    assert "reset_position_ids=true needs train.document_mask" in text
    settings = config(document_mask="repository")
    (text,) = conflicts(dataclasses.replace(settings, model=dataclasses.replace(settings.model, layer_set="te")))
    assert "train.document_mask=repository needs model.layer_set=native, not te" in text
