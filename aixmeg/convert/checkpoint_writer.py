"""Weights of a whole model into a `torch_dist` checkpoint, one tensor at a time, without megatron-core or ranks.

What is written is what one rank alone would save of its model (see `checkpoint_reader` for the format), so every layout
loads it. Each file is finished by itself, which makes a conversion resumable.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from aixmeg.convert.checkpoint_reader import TABLE_OF_CONTENTS
from aixmeg.convert.ledger import Ledger
from aixmeg.files import atomic_write, write_json
from aixmeg.model.names import ParameterInfo, Sharding

FUSED_NORMS = {
    "input_layernorm.weight": "self_attention.linear_qkv.layer_norm_weight",
    "pre_mlp_layernorm.weight": "mlp.linear_fc1.layer_norm_weight",
}
"""Norms are stored under the names that Transformer Engine's fused modules give them; `global_name` turns them back."""
_LINEARS = ("self_attention.linear_proj", "self_attention.linear_qkv", "mlp.linear_fc1", "mlp.linear_fc2")
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")
Chunk = tuple[str, list[int], list[int], int, int]
"""(key, offsets, sizes, place in the file, length there); lists, because JSON keeps them."""


def plan_files(table: Sequence[ParameterInfo], file_bytes: int, itemsize: int) -> list[list[ParameterInfo]]:
    """Weights of each file, in order; a file takes another weight as long as it stays below `file_bytes`."""
    files: list[list[ParameterInfo]] = [[]]
    filled = 0
    for info in table:
        if files[-1] and filled + info.numel * itemsize > file_bytes:
            files.append([])
            filled = 0
        files[-1].append(info)
        filled += info.numel * itemsize
    return files


def file_name(number: int) -> str:
    """`__RANK_NUMBER.distcp`, as torch's writer names its files."""
    return f"__0_{number}.distcp"


def write_file(ledger: Ledger, name: str, weights: Iterable[tuple[ParameterInfo, Tensor]]) -> None:
    """Write one file of weights and note what lies where."""
    with ledger.writing(name) as file:
        chunks: list[Chunk] = []
        for info, tensor in weights:
            for key, offsets, part in _chunks(info, tensor):
                start = file.tell()
                torch.save(part, file)  # type: ignore[arg-type] (needs write and flush alone)
                chunks.append((key, offsets, list(part.shape), start, file.tell() - start))
            del tensor
        file.notes["chunks"] = chunks


def write_table(
    ledger: Ledger,
    names: Sequence[str],
    table: Sequence[ParameterInfo],
    *,
    dtype: torch.dtype,
    sharding: dict[str, Any],
) -> None:
    """Write the table of contents, the linears' extra states and megatron-core's own small files; ends the ledger.

    Args:
        ledger: has noted the files `names`, and of its folder a checkpoint is made.
        names: files of weights.
        table: every parameter of the model.
        dtype: of the weights.
        sharding: how states are sharded; megatron-core reads it back.
    """
    folder = ledger.folder
    layers = sum(info.name.endswith("mlp.linear_fc2.weight") for info in table)
    places: dict[str, Any] = {}
    storage: dict[MetadataIndex, Any] = {}
    for info in table:
        key, layer = stored_key(info.name)
        size = torch.Size(info.shape if layer is None else (layers, *info.shape))
        places[key] = TensorStorageMetadata(properties=TensorProperties(dtype=dtype), size=size, chunks=[])
    for name in names:
        for key, offsets, shape, start, length in ledger.noted(name)["chunks"]:
            corner = torch.Size(offsets)
            places[key].chunks.append(ChunkStorageMetadata(offsets=corner, sizes=torch.Size(shape)))
            storage[MetadataIndex(key, corner)] = _StorageInfo(name, start, length)
    extra = file_name(len(names))
    with ledger.writing(extra) as file:
        for key in _extra_states(layers):
            start = file.tell()
            torch.save([None], file)  # type: ignore[arg-type]
            places[key] = BytesStorageMetadata()
            storage[MetadataIndex(key)] = _StorageInfo(extra, start, file.tell() - start)
    with atomic_write(folder / "common.pt", "wb") as file:
        torch.save({"content_metadata": sharding}, file)
    backends = {"sharded_backend": "torch_dist", "sharded_backend_version": 1, "common_backend": "torch"}
    write_json(folder / "metadata.json", {**backends, "common_backend_version": 1})
    with atomic_write(folder / TABLE_OF_CONTENTS, "wb") as file:
        pickle.dump(Metadata(state_dict_metadata=places, storage_data=storage), file)
    ledger.close()


def stored_key(name: str) -> tuple[str, int | None]:
    """Key of a weight in the checkpoint and its place on the layer axis, from its global name."""
    match = _LAYER.fullmatch(name)
    if match is None:
        return name, None
    return f"decoder.layers.{FUSED_NORMS.get(match[2], match[2])}", int(match[1])


def _chunks(info: ParameterInfo, tensor: Tensor) -> Iterator[tuple[str, list[int], Tensor]]:
    """(key, offsets, part) of one weight: gate and up apart, everything else whole."""
    key, layer = stored_key(info.name)
    before = [] if layer is None else [layer]
    start = 0
    for part in tensor.chunk(2) if info.sharding is Sharding.GATE_UP else (tensor,):
        # A view is serialized with the whole storage behind it.
        alone = part if part.untyped_storage().nbytes() == part.nbytes else part.clone()
        yield key, [*before, start, *[0] * (part.dim() - 1)], alone[None] if layer is not None else alone
        start += part.shape[0]


def _extra_states(layers: int) -> list[str]:
    """Keys of the linears' extra states, which hold nothing without FP8 but which loading asks for."""
    return [f"decoder.layers.{linear}._extra_state/shard_{layer}_{layers}" for layer in range(layers)
            for linear in _LINEARS]  # fmt: skip
