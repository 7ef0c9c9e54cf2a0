"""Run directories of small random models, as training leaves them."""

from __future__ import annotations

import dataclasses
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from aixmeg.config import Config, ModelConfig, ParallelConfig, PathsConfig, TokenizerConfig, TrainConfig, dump_config
from aixmeg.model.names import ParameterInfo, named_parameters, parameter_table

if TYPE_CHECKING:
    from aixmeg.model.builder import CodeModel

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
    from aixmeg.train.saver import save_checkpoint

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
        for chunk in training.models:
            _scatter_norms(chunk, parameter_table(model))
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


def make_run_in_layout(run: Path, model: ModelConfig, tokenizer: Path, parallel: ParallelConfig) -> None:
    """`make_run` for `launch.run_function`, which passes no keywords."""
    make_run(run, model, tokenizer, parallel=parallel)


@torch.no_grad()
def _scatter_norms(chunk: CodeModel, table: dict[str, ParameterInfo]) -> None:
    """Norm weights start at 1, where a swapped pair would not show."""
    for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer):
        if "layernorm" in info.name:
            frequency = 1 + zlib.crc32(info.name.encode()) % 97
            parameter.copy_(1 + 0.5 * torch.sin(torch.arange(parameter.numel()) * frequency))
