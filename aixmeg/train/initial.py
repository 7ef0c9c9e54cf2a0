"""A training that starts from the weights of another run instead of random ones."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from aixmeg.config import ModelConfig
from aixmeg.errors import UserError
from aixmeg.files import sha256_file
from aixmeg.train import torch_dist
from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.folders import latest_checkpoint, read_manifest
from aixmeg.train.state import load_models, model_state
from aixmeg.train.together import on_rank_zero

_SHAPES = (
    "num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups", "kv_channels",
    "vocab_size", "share_embeddings_and_output_weights",
)  # fmt: skip
_MEANING = ("rotary_base", "layernorm_epsilon", "seq_length")
"""Options that may change when a training goes on from given weights, which a user has to know of."""


def load_initial(training: Training, run: Path, *, data: dict[str, Any]) -> list[str]:
    """Fill the weights from the newest checkpoint of `run`, of any layout; optimizer and step begin anew; collective.

    Args:
        training: with a fresh optimizer.
        run: a run directory; what `aixmeg convert from-hf` makes is one.
        data: what identifies the tokenizer of the training data.

    Returns:
        Notices for the user.

    Raises:
        UserError: no such checkpoint, or another model's or tokenizer's.
    """
    folder = on_rank_zero(lambda: latest_checkpoint(run))
    manifest = on_rank_zero(lambda: read_manifest(folder))
    notices = on_rank_zero(lambda: _compare(folder, manifest["model"], training.config.model))
    on_rank_zero(lambda: _check_tokenizer(run, data.get("tokenizer_sha256")))
    with whole_parameters(training):
        load_models(training.models, torch_dist.load(model_state(training.models), folder))
    training.optimizer.reload_model_params()  # its fp32 copies still hold the random weights
    return [f"starting from the weights of {folder}", *notices]


def _compare(folder: Path, saved: dict[str, Any], model: ModelConfig) -> list[str]:
    wanted = dataclasses.asdict(model)
    head = {"kv_channels": saved["kv_channels"] or saved["hidden_size"] // saved["num_attention_heads"]}
    saved, wanted = saved | head, wanted | {"kv_channels": model.head_size}
    texts = {name: f"model.{name} was {saved[name]!r}, is now {wanted[name]!r}" for name in (*_SHAPES, *_MEANING)
             if saved[name] != wanted[name]}  # fmt: skip
    refused = [text for name, text in texts.items() if name in _SHAPES]
    if refused:
        raise UserError(
            f"the weights of {folder} (train.init_from) are of another model:\n"
            + "\n".join(f"  - {text}" for text in refused)
            + f"\nset these as {folder.parents[1] / 'config.yaml'} has them"
        )
    return [text for name, text in texts.items() if name in _MEANING]


def _check_tokenizer(run: Path, digest: str | None) -> None:
    """Embeddings mean nothing to another tokenizer's ids, and nothing else would tell."""
    file = run / "tokenizer" / "tokenizer.model"
    if digest is not None and file.exists() and sha256_file(file) != digest:
        raise UserError(
            f"the training data was built with another tokenizer than {file}, which the weights of train.init_from "
            f"belong to; build the data with paths.tokenizer={file.parent}"
        )
