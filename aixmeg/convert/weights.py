"""Folders of safetensors: written in shards with an index, read lazily. Nothing is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.files import read_json, write_json

SHARD_BYTES = 5_000_000_000
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def write_weights(
    folder: Path,
    weights: Iterable[tuple[str, Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dtype: torch.dtype,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[str, int], None] = lambda name, size: None,
) -> int:
    """Write `weights`, cast to `dtype`, as one file or as shards of at most `shard_bytes`; return the bytes.

    `shapes` names every tensor in the order of `weights`, so that shards are planned before a tensor is copied: at
    most one shard is in memory besides the model. A tensor above `shard_bytes` has a shard of its own.

    Raises:
        UserError: the disk refused a file. The caller owns `folder` and removes it.
    """
    sizes = {name: torch.Size(shape).numel() * dtype.itemsize for name, shape in shapes.items()}
    shards = _plan(sizes, shard_bytes)
    names = [SINGLE] if len(shards) == 1 else [f"model-{i:05}-of-{len(shards):05}.safetensors"
                                               for i in range(1, len(shards) + 1)]  # fmt: skip
    stream = iter(weights)
    for file, shard in zip(names, shards, strict=True):
        tensors: dict[str, Tensor] = {}
        for planned in shard:
            name, tensor = next(stream)
            if name != planned:
                raise RuntimeError(f"{name} came where {planned} was planned")
            # clone: a view would be written with the whole storage behind it, and tied tensors are refused
            tensors[name] = tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
            progress(name, sizes[name])
        _save(tensors, folder / file)
    total = sum(sizes.values())
    if len(shards) > 1:
        where = {name: file for file, shard in zip(names, shards, strict=True) for name in shard}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    return total


def _plan(sizes: Mapping[str, int], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    try:
        save_file(tensors, file, metadata={"format": "pt"})  # transformers refuses a file without the format
        with file.open("rb+") as written:
            os.fsync(written.fileno())
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"cannot write {file.name} beside {file.parent.parent}: {error}; nothing was left half-written, "
            "free space or choose another folder and run the command again"
        ) from error


class SafetensorsFolder(Mapping[str, Tensor]):
    """The weights of a Hugging Face folder by name; a tensor is read when it is asked for.

    Raises:
        UserError: the folder holds no safetensors, a shard is missing, or a file is cut or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, safe_open] = {}
        self._file_of = self._find_files()

    def _find_files(self) -> dict[str, str]:
        index = self._folder / INDEX
        if index.exists():
            found = read_json(index)
            where = found.get("weight_map") if isinstance(found, dict) else None
            if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
                raise UserError(f"{index} has no weight_map; convert the model again")
            for file in set(where.values()):
                if Path(file).name != file:
                    raise UserError(f"{index} names {file!r}, which is outside its folder; convert the model again")
            return where
        if not (self._folder / SINGLE).exists():
            pickled = " (pickled weights are not read, because loading them runs code)"
            others = any(self._folder.glob("pytorch_model*.bin"))
            raise UserError(f"{self._folder} holds neither {SINGLE} nor {INDEX}{pickled if others else ''}")
        return dict.fromkeys(self._reader(SINGLE).keys(), SINGLE)

    def _reader(self, file: str) -> safe_open:
        if file not in self._open:
            path = self._folder / file
            try:
                self._open[file] = safe_open(path, framework="pt", device="cpu")
            except (SafetensorError, OSError) as error:
                raise UserError(f"cannot read {path}: {error}; the file is missing or cut, convert again") from error
        return self._open[file]

    def __getitem__(self, name: str) -> Tensor:
        file = self._file_of[name]
        try:
            return self._reader(file).get_tensor(name)
        except SafetensorError as error:
            raise UserError(f"{self._folder / file} lacks {name}: {error}; convert the model again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)
