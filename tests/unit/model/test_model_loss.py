"""The loss in training: output layer and cross-entropy in chunks of tokens, by train.cross_entropy_chunk_rows."""

import dataclasses

import pytest
import torch
from largest_tensor import LargestTensor

from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.builder import build_model

V, S, B = 512, 24, 2


def model(topology, chunk_rows, *, tied=False, precision="fp32"):
    config = Config(
        model=ModelConfig(
            num_layers=1, hidden_size=16, ffn_hidden_size=24, num_attention_heads=2, num_query_groups=1, seq_length=S,
            vocab_size=V, share_embeddings_and_output_weights=tied, init_method_std=0.2,
        ),
        tokenizer=TokenizerConfig(vocab_size=V),
        train=TrainConfig(precision=precision, seed=3, cross_entropy_chunk_rows=chunk_rows),
    )  # fmt: skip
    return build_model(config, topology, device="cpu")[0]


def train_once(chunk):
    """Loss, gradients and the largest tensor of one forward and backward pass."""
    torch.manual_seed(0)
    tokens, labels = torch.randint(0, V, (B, S)), torch.randint(0, V, (B, S))
    with LargestTensor() as watch:
        loss = chunk(tokens, labels=labels)
        loss.mean().backward()
    return loss.detach(), {name: p.grad for name, p in chunk.named_parameters()}, watch.largest


@pytest.mark.parametrize("tied", [False, True])
def test_chunks_change_nothing_but_the_memory(topology, tied):
    loss, gradients, largest = train_once(model(topology, None, tied=tied))
    chunked_loss, chunked_gradients, chunked_largest = train_once(model(topology, 10, tied=tied))
    assert largest == B * S * V  # the logits
    assert chunked_largest == V * 16  # the embedding; a chunk's logits are fewer
    torch.testing.assert_close(chunked_loss, loss, rtol=1e-6, atol=1e-6)  # float32 sums, cut otherwise
    assert gradients.keys() == chunked_gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(chunked_gradients[name], gradient, rtol=1e-5, atol=1e-7)


def test_chunks_in_bf16_are_as_near_to_fp32_as_whole_logits(topology):
    """Losses: logits are rounded to bf16 in both paths, 2^-9 of each, so the losses of tokens agree to that."""
    loss, _, _ = train_once(model(topology, None, precision="bf16"))
    chunked, _, _ = train_once(model(topology, 10, precision="bf16"))
    exact, _, _ = train_once(model(topology, None))
    assert chunked.dtype == torch.float32
    torch.testing.assert_close(chunked, loss, rtol=2.0**-8, atol=2.0**-8)
    assert (chunked.mean() - exact.mean()).abs() < 2.0**-8 * exact.mean()


def test_without_chunks_the_logits_are_held(topology, monkeypatch):
    monkeypatch.setattr("aixmeg.model.code_model.linear_cross_entropy", None)
    train_once(model(topology, None))
    with pytest.raises(TypeError):
        train_once(model(topology, B * S))


def test_logits_are_still_to_be_had(topology):
    chunk = model(topology, 1)
    assert chunk.logits(torch.zeros(B, S, dtype=torch.int64)).shape == (B, S, V)


def test_chunk_rows_are_checked_with_the_configuration():
    from aixmeg.config import conflicts

    train = TrainConfig(cross_entropy_chunk_rows=0)
    assert any(
        "train.cross_entropy_chunk_rows=0 must be positive, or null" in line
        for line in conflicts(dataclasses.replace(Config(), train=train))
    )
