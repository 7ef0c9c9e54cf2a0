"""Run directories of small random models, as training leaves them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Literal

import torch

from aixmeg.config import Config, ModelConfig, ParallelConfig, PathsConfig, TokenizerConfig, TrainConfig, dump_config

GROUPED = ModelConfig(
    num_layers=3, hidden_size=64, ffn_hidden_size=96, num_attention_heads=8, num_query_groups=2, seq_length=256,
    vocab_size=1024, init_method_std=0.2,
)  # fmt: skip
"""A standard deviation of 0.2 makes logits of a trained model's size; with 0.02 every layer adds next to nothing."""
MODELS = {
    "grouped": GROUPED,
    "multi_head": dataclasses.replace(GROUPED, num_query_groups=8),
    "multi_query_wide": dataclasses.replace(GROUPED, num_query_groups=1, kv_channels=16),
    "tied": dataclasses.replace(GROUPED, share_embeddings_and_output_weights=True),
}


def make_run(
    run: Path,
    model: ModelConfig,
    tokenizer: Path,
    *,
    precision: Literal["bf16", "fp32"] = "fp32",
    parallel: ParallelConfig | None = None,
    step: int = 7,
) -> Path:
    """Save a model with random weights, norms included, as the checkpoint of `step`; collective."""
    from aixmeg.parallel import launch
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.checkpoint import save_checkpoint

    config = Config(
        paths=PathsConfig(root=run.parent, run=Path(run.name)),
        tokenizer=TokenizerConfig(vocab_size=model.vocab_size),
        model=model,
        parallel=parallel or ParallelConfig(),
        train=TrainConfig(precision=precision),
    )
    if here := not torch.distributed.is_initialized():
        launch.start(launch.discover({}))
    topology = Topology.create(config.parallel, config.train.seed)
    try:
        training = build_training(config, topology, torch.device("cpu"))
        _scatter_norms(training.models[0])
        if topology.rank == 0:
            run.mkdir(parents=True, exist_ok=True)
            shutil.copytree(tokenizer, run / "tokenizer", dirs_exist_ok=True)
            (run / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        save_checkpoint(training, run, step, data={})
    finally:
        topology.destroy()
        if here:
            launch.stop()
    return run


@torch.no_grad()
def _scatter_norms(model: torch.nn.Module) -> None:
    """Norm weights start at 1, where a swapped pair would not show."""
    for number, (name, parameter) in enumerate(model.named_parameters()):
        if "layernorm" in name:
            parameter.copy_(1 + 0.5 * torch.sin(torch.arange(parameter.numel()) * (number + 1.0)))
