"""z-loss and label smoothing from the configuration to the gradient and the step's report, against torch's formulas."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from aixmeg.config import Config, LossConfig, ModelConfig, TokenizerConfig, TrainConfig, conflicts
from aixmeg.model.builder import build_model
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.step import train_step

V, S, B = 96, 20, 2
TERMS = LossConfig(z_loss=0.01, label_smoothing=0.2)
PATHS = pytest.mark.parametrize("chunk_rows", [None, 7])


def config(terms, chunk_rows):
    return Config(
        model=ModelConfig(
            num_layers=1, hidden_size=16, ffn_hidden_size=24, num_attention_heads=2, num_query_groups=1, seq_length=S,
            vocab_size=V, init_method_std=0.3,
        ),
        tokenizer=TokenizerConfig(vocab_size=V),
        loss=terms,
        train=TrainConfig(precision="fp32", seed=3, cross_entropy_chunk_rows=chunk_rows, micro_batch_size=B),
    )  # fmt: skip


def batch():
    torch.manual_seed(0)
    return torch.randint(0, V, (B, S)), torch.randint(0, V, (B, S))


def by_torch(model, tokens, labels):
    """(smoothed cross-entropy, z-loss) [b, s] of the model's own logits, differentiable."""
    logits = model(tokens)  # [b, s, v]
    smoothed = F.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none", label_smoothing=TERMS.label_smoothing
    )
    return smoothed.view(B, S), TERMS.z_loss * torch.logsumexp(logits, -1).square()


@PATHS
def test_loss_and_gradients_equal_torchs(topology, chunk_rows):
    model = build_model(config(TERMS, chunk_rows), topology, device="cpu")[0]
    tokens, labels = batch()
    loss = model(tokens, labels=labels)
    loss.mean().backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    smoothed, z_losses = by_torch(model, tokens, labels)
    (smoothed + z_losses).mean().backward()
    torch.testing.assert_close(loss, smoothed + z_losses, rtol=1e-5, atol=1e-6)  # float32 sums in another order
    torch.testing.assert_close(model.z_losses, z_losses, rtol=1e-5, atol=1e-6)
    assert not model.z_losses.requires_grad
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


@PATHS
def test_evaluation_reports_the_cross_entropy_alone(topology, chunk_rows):
    model = build_model(config(TERMS, chunk_rows), topology, device="cpu")[0].eval()
    tokens, labels = batch()
    with torch.no_grad():
        loss = model(tokens, labels=labels)
        exact = F.cross_entropy(model(tokens).flatten(0, 1), labels.flatten(), reduction="none").view(B, S)
    torch.testing.assert_close(loss, exact, rtol=1e-5, atol=1e-6)
    assert model.z_losses is None


@PATHS
def test_a_step_reports_the_two_apart_and_counts_no_padding(topology, chunk_rows):
    settings = config(TERMS, chunk_rows)
    tokens, labels = batch()
    counted = torch.ones(B, S, dtype=torch.bool)
    counted[1, 5:] = False
    training = build_training(settings, topology, torch.device("cpu"))
    with torch.no_grad():
        smoothed, z_losses = by_torch(training.models[0], tokens, labels)
    masked = Batch(tokens=tokens, labels=labels, counted=counted, share=1.0)
    result = train_step(training, [masked], lr=0.0)
    assert result.loss == pytest.approx(smoothed[counted].mean().item(), rel=1e-5)
    assert result.z_loss == pytest.approx(z_losses[counted].mean().item(), rel=1e-5)
    assert (result.ntp_loss, result.middle_loss) == (None, None)
    result = train_step(training, [Batch(tokens=tokens, labels=labels)], lr=0.0)
    assert result.z_loss == pytest.approx(z_losses.mean().item(), rel=1e-5)
    plain = build_training(config(LossConfig(), chunk_rows), topology, torch.device("cpu"))
    assert train_step(plain, [Batch(tokens=tokens, labels=labels)], lr=0.0).z_loss is None


@PATHS
def test_text_and_middles_are_reported_apart_and_change_no_bit_of_the_rest(topology, chunk_rows):
    training = build_training(config(TERMS, chunk_rows), topology, torch.device("cpu"))
    kinds = torch.arange(B * S, dtype=torch.uint8).view(B, S) % 3
    counted = torch.ones(B, S, dtype=torch.bool)
    counted[1, 5:] = False
    kinds[~counted] = 0
    plain, known, expected = [], [], []
    for factor in (1, 2):  # two micro-batches, of which one has no middle
        tokens, labels = (part.mul(factor).remainder(V) for part in batch())
        one = Batch(tokens=tokens, labels=labels, counted=counted, share=1.0)
        seen = kinds if factor == 1 else kinds.masked_fill(kinds == 2, 0)
        plain.append(one)
        known.append(dataclasses.replace(one, kinds=seen))
        with torch.no_grad():
            expected.append((by_torch(training.models[0], tokens, labels)[0].double(), seen))
    before, after = (train_step(training, batches, lr=0.0) for batches in (plain, known))
    assert (before.loss, before.grad_norm, before.z_loss) == (after.loss, after.grad_norm, after.z_loss)
    for kind, found in ((1, after.ntp_loss), (2, after.middle_loss)):
        chosen = torch.cat([losses[seen == kind] for losses, seen in expected])
        assert found == pytest.approx(chosen.mean().item(), rel=1e-5)  # float32 losses


@pytest.mark.parametrize(
    ("field", "value"),
    [("z_loss", -1e-4), ("z_loss", float("nan")), ("label_smoothing", 1.0), ("label_smoothing", -0.1)],
)
def test_values_out_of_range_are_refused(field, value):
    broken = dataclasses.replace(Config(), loss=LossConfig(**{field: value}))
    assert any(f"loss.{field}={value} must be" in line for line in conflicts(broken))
