"""A run in bf16 or with current scales goes on with delayed FP8 scaling, whose history its checkpoint lacks."""

import dataclasses

import pytest
import torch

from aixmeg.config import Config, ModelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.fp8_scaling import DelayedScaling
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.checkpoint import load_checkpoint
from aixmeg.train.saver import save_checkpoint
from aixmeg.train.step import train_step

V, S = 64, 16
DATA = {"tokens": "the same"}


def training(topology, **fp8):
    model = ModelConfig(
        num_layers=2, hidden_size=32, ffn_hidden_size=48, num_attention_heads=2, num_query_groups=2, seq_length=S,
        vocab_size=V, **fp8,
    )  # fmt: skip
    config = Config(
        model=model, tokenizer=TokenizerConfig(vocab_size=V), train=TrainConfig(precision="fp32", global_batch_size=1)
    )
    return build_training(config, topology, torch.device("cpu"))


def step(trained):
    ids = torch.arange(S + 1)[None] % V
    return train_step(trained, [Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous())], lr=0.01)


def scales(trained):
    return [module for module in trained.models[0].modules() if isinstance(module, DelayedScaling)]


@pytest.mark.parametrize("before", [{}, {"fp8": "hybrid", "fp8_recipe": "tensorwise"}], ids=["fp32", "tensorwise"])
def test_layers_without_history_start_with_none(topology, tmp_path, before):
    first = training(topology, **before)
    step(first)
    save_checkpoint(first, tmp_path, 1, data=DATA)
    delayed = {"fp8": "hybrid", "fp8_recipe": "delayed"}
    second = training(topology, **delayed)
    with torch.no_grad():
        for weight in second.models[0].parameters():
            weight.zero_()
    _, notices = load_checkpoint(second, tmp_path, data=DATA)
    assert any("has no history of delayed scaling" in line for line in notices)
    assert len(scales(second)) == 8
    assert not any(module.ready or module.history.any() for module in scales(second))
    for one, other in zip(first.models[0].parameters(), second.models[0].parameters(), strict=True):
        assert torch.equal(one, other)
    assert step(second).finite
    assert all(module.ready for module in scales(second))

    save_checkpoint(second, tmp_path, 2, data=DATA)
    third = training(topology, **delayed)
    _, notices = load_checkpoint(third, tmp_path, data=DATA)
    assert not any("no history of" in line for line in notices)
    for one, other in zip(scales(second), scales(third), strict=True):
        assert torch.equal(one.history, other.history)
    assert dataclasses.astuple(step(third)) == dataclasses.astuple(step(second))
