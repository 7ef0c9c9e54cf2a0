"""FP8 copies of weights that are kept for a step: the same training, with fewer quantisations."""

import dataclasses

import pytest
import torch

from aixmeg.config import Config, ModelConfig, ParallelConfig, TokenizerConfig, TrainConfig, conflicts
from aixmeg.model.fp8 import _Layer
from aixmeg.model.fp8_scaling import DelayedScaling, Operand
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.step import train_step

V, S, LAYERS, MICRO_BATCHES, STEPS = 64, 16, 2, 3, 4
LINEARS = 4 * LAYERS
RECIPES = pytest.mark.parametrize("recipe", ["delayed", "tensorwise", "rowwise"])


def config(recipe, keep, zero1=True, precision="fp32"):
    return Config(
        model=ModelConfig(
            num_layers=LAYERS, hidden_size=32, ffn_hidden_size=48, num_attention_heads=2, num_query_groups=2,
            seq_length=S, vocab_size=V, fp8="hybrid", fp8_recipe=recipe, fp8_keep_weights=keep, init_method_std=0.1,
        ),
        tokenizer=TokenizerConfig(vocab_size=V),
        parallel=ParallelConfig(use_distributed_optimizer=zero1),
        train=TrainConfig(precision=precision, seed=3, global_batch_size=MICRO_BATCHES),
    )  # fmt: skip


def batches(step):
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(0, V, (MICRO_BATCHES, 1, S + 1), generator=generator)
    return [Batch(tokens=row[:, :-1].contiguous(), labels=row[:, 1:].contiguous()) for row in ids]


def train(topology, settings, monkeypatch):
    """(losses, norms and held-out losses, delayed scaling's state, quantisations of weights per step)."""
    training = build_training(settings, topology, torch.device("cpu"))
    counts, original = [], _Layer.quantize

    def quantize(self, x, operand, rows, columns, **options):
        counts[-1] += operand is Operand.WEIGHT
        return original(self, x, operand, rows, columns, **options)

    monkeypatch.setattr(_Layer, "quantize", quantize)
    found = []
    for step in range(STEPS):
        counts.append(0)
        result = train_step(training, batches(step), lr=0.02)
        counts.append(0)
        with torch.no_grad():  # as an evaluation: in the next step, the weights are those that it saw
            held_out = training.models[0](batches(99)[0].tokens, labels=batches(99)[0].labels)
        found.append((result.loss, result.grad_norm, held_out.mean().item()))
    state = [m.history.tolist() for m in training.models[0].modules() if isinstance(m, DelayedScaling)]
    return found, state, counts[::2]


@RECIPES
@pytest.mark.parametrize("zero1", [False, True])
def test_training_is_the_same_to_the_bit(topology, recipe, zero1, monkeypatch):
    plain, state, counts = train(topology, config(recipe, False, zero1), monkeypatch)
    kept, kept_state, kept_counts = train(topology, config(recipe, True, zero1), monkeypatch)
    assert kept == plain
    assert kept_state == state
    assert counts == [2 * LINEARS * MICRO_BATCHES] * STEPS
    # The evaluation before a step has made the layout of the forward pass, but delayed scaling wants its magnitude.
    later = 2 * LINEARS if recipe == "delayed" else LINEARS
    assert kept_counts == [2 * LINEARS, *[later] * (STEPS - 1)]


def test_two_bytes_per_weight(topology):
    """After a forward and backward pass, and nothing once the step has ended."""
    training = build_training(config("tensorwise", True, precision="bf16"), topology, torch.device("cpu"))
    model, batch = training.models[0], batches(0)[0]
    kept = [m.fp8_weights for m in model.modules() if getattr(m, "fp8_weights", None) is not None]
    model(batch.tokens, labels=batch.labels).mean().backward()
    weights = sum(p.numel() for name, p in model.named_parameters() if "linear_" in name and p.dim() == 2)
    assert sum(one.matrix.nbytes for each in kept for one in each._made.values()) == 2 * weights
    train_step(training, batches(0), lr=0.0)
    assert not any(each._made for each in kept)


def test_a_weight_that_is_written_is_quantised_again(topology):
    model = build_training(config("tensorwise", True), topology, torch.device("cpu")).models[0]
    batch = batches(0)[0]
    with torch.no_grad():
        before = model(batch.tokens, labels=batch.labels)
        state = {name: value * 2 if torch.is_tensor(value) else value for name, value in model.state_dict().items()}
        model.load_state_dict(state)
        after = model(batch.tokens, labels=batch.labels)
        for module in model.modules():
            if getattr(module, "fp8_weights", None) is not None:
                module.fp8_weights = None
        assert torch.equal(after, model(batch.tokens, labels=batch.labels))
    assert not torch.equal(before, after)


def test_transformer_engine_has_its_own():
    model = ModelConfig(layer_set="te", fp8="hybrid", fp8_keep_weights=True)
    assert any("fp8_keep_weights=true is of" in line for line in conflicts(dataclasses.replace(Config(), model=model)))
