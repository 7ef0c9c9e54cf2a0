"""The layout in which aiXcoder-7B's authors released their own checkpoint: one `.pt` file beside `tokenizer.model`.

Names and nesting are those of `megatron_mini/model/transformer.py` in the repository aixcoder-plugin/aiXcoder-7B. Its
fused attention weight is megatron-core's, groups of `[q … q k v]`, so only the feed-forward halves have to be joined.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from aixmeg.config import ModelConfig
from aixmeg.convert.pickled import load_plain, tensors_of
from aixmeg.errors import UserError
from aixmeg.model.names import parameter_table

_NESTS = ("model", "module", "llama_model", "language_model")
# fmt: off
_TABLE = {
    "embedding.word_embeddings.weight": ("tok_embeddings.weight",),
    "decoder.layers.*.input_layernorm.weight": ("layers.*.attention_norm.weight",),
    "decoder.layers.*.self_attention.linear_qkv.weight": ("layers.*.attention.query_key_value.weight",),
    "decoder.layers.*.self_attention.linear_proj.weight": ("layers.*.attention.wo.weight",),
    "decoder.layers.*.pre_mlp_layernorm.weight": ("layers.*.ffn_norm.weight",),
    "decoder.layers.*.mlp.linear_fc1.weight": ("layers.*.feed_forward.w1.weight", "layers.*.feed_forward.w3.weight"),
    "decoder.layers.*.mlp.linear_fc2.weight": ("layers.*.feed_forward.w2.weight",),
    "decoder.final_layernorm.weight": ("norm.weight",),
    "output_layer.weight": ("output.weight",),
}
# fmt: on
_LAYER = re.compile(r"(?<=layers\.)\d+")


def find_release(folder: Path) -> Path | None:
    """The one `.pt` file of a folder, if it has one and no config.json."""
    files = sorted(folder.glob("*.pt")) if not (folder / "config.json").exists() else []
    if len(files) > 1:
        raise UserError(
            f"{folder} holds {len(files)} .pt files ({files[0].name} …); only a checkpoint in one file is read, "
            "not one that was cut for tensor parallelism"
        )
    return files[0] if files else None


class ReleasedWeights(Mapping[str, Tensor]):
    """The weights of a released checkpoint by megatron-core's global names.

    Raises:
        UserError: damaged, unsafe, or of another model family.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        found = self._load()
        self._shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
        layers = {int(match[0]) for name in found if (match := _LAYER.search(name))}
        self._names = [name for pattern in _TABLE for name in _written_out(pattern, sorted(layers))]
        expected = {part for name in self._names for part in _parts(name)}
        missing, unknown = sorted(expected - set(found)), sorted(set(found) - expected)
        if missing or unknown:
            told = [f"{len(names)} {what}, such as {names[0]}" for names, what in
                    ((missing, "missing"), (unknown, "unknown")) if names]  # fmt: skip
            raise UserError(f"{file} does not hold the weights of an aiXcoder model: {'; '.join(told)}")
        self.dtype: torch.dtype = found["tok_embeddings.weight"].dtype
        """Of the weights."""

    def _load(self) -> dict[str, Tensor]:
        found = load_plain(self._file)
        while isinstance(found, dict) and (nest := next((key for key in _NESTS if key in found), None)):
            found = found[nest]
        return tensors_of(found, self._file)

    def __getitem__(self, name: str) -> Tensor:
        found = self._load()  # mapped anew, see `pickled`
        parts = [found[part] for part in _parts(name)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def model(self, published: ModelConfig) -> ModelConfig:
        """The model section: sizes from the weights, heads and rotary base as published (the file does not say them).

        Raises:
            UserError: the weights do not have the shapes of that model.
        """
        vocab_size, hidden = self._shapes["tok_embeddings.weight"]
        section = dataclasses.replace(
            published,
            num_layers=sum(name.endswith("mlp.linear_fc2.weight") for name in self._names),
            hidden_size=hidden,
            ffn_hidden_size=self._shapes["layers.0.feed_forward.w1.weight"][0],
            vocab_size=vocab_size,
        )
        for name, info in parameter_table(section).items():
            shapes = [self._shapes[part] for part in _parts(name)]
            found = (sum(shape[0] for shape in shapes), *shapes[0][1:])
            if found != info.shape:
                raise UserError(
                    f"{self._file}: {name} has shape {list(found)}, where a model of {section.num_attention_heads} "
                    f"heads and {section.num_query_groups} key-value groups has {list(info.shape)}"
                )
        return section


def _written_out(pattern: str, layers: list[int]) -> list[str]:
    return [pattern.replace("*", str(layer)) for layer in layers] if "*" in pattern else [pattern]


def _parts(name: str) -> list[str]:
    layer = _LAYER.search(name)
    parts = _TABLE[_LAYER.sub("*", name)]
    return [part.replace("*", layer[0]) for part in parts] if layer else list(parts)
