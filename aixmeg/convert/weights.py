"""Folders of safetensors: written in shards with an index and read one tensor at a time. Nothing is unpickled here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aixmeg.convert.ledger import Ledger
from aixmeg.errors import UserError
from aixmeg.files import read_json, write_json

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Types that weights are converted to."""
Progress = Callable[[str, float], None]
"""Called with what is being done and the share that is finished."""
SHARD_BYTES = 5_000_000_000
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def plan_shards(
    shapes: Mapping[str, tuple[int, ...]], itemsize: int, shard_bytes: int = SHARD_BYTES
) -> dict[str, list[str]]:
    """File name → names of its weights, in order. A weight above `shard_bytes` has a shard of its own."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in shapes.items():
        size = torch.Size(shape).numel() * itemsize
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    return dict(zip(names, shards, strict=True))


def write_weights(
    ledger: Ledger,
    weights: Callable[[Sequence[str]], Iterable[tuple[str, Tensor]]],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dtype: torch.dtype,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[str, int], None] = lambda name, size: None,
) -> int:
    """Write weights, cast to `dtype`, as one file or as shards of at most `shard_bytes`; return the bytes.

    One tensor is in memory at a time: a file's header needs only names, types and shapes, and stands first. Shards that
    the ledger knows are not written again.

    Args:
        ledger: of the folder to write into.
        weights: called with the names of one file; yields them in that order.
        shapes: of every tensor, in the order of the files.
        dtype: of every tensor.
        shard_bytes: a tensor above it has a shard of its own.
        progress: called with each tensor's name and bytes.

    Raises:
        OSError: the disk refused a file. The caller owns the folder.
    """
    sizes = {name: torch.Size(shape).numel() * dtype.itemsize for name, shape in shapes.items()}
    shards = plan_shards(shapes, dtype.itemsize, shard_bytes)
    for file, names in shards.items():
        if ledger.finished(file) is not None:
            for name in names:
                progress(name, sizes[name])
            continue
        _write_shard(
            ledger, file, weights(names), {name: shapes[name] for name in names}, dtype=dtype, progress=progress
        )
    total = sum(sizes.values())
    if len(shards) > 1:
        where = {name: file for file, names in shards.items() for name in names}
        write_json(ledger.folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    return total


def _write_shard(
    ledger: Ledger,
    file: str,
    weights: Iterable[tuple[str, Tensor]],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    dtype: torch.dtype,
    progress: Callable[[str, int], None],
) -> None:
    with ledger.writing(file) as out:
        out.write(_header(shapes, dtype))
        for (name, tensor), planned in zip(weights, shapes, strict=True):
            if name != planned:
                raise RuntimeError(f"{name} came where {planned} was planned")
            cast = tensor.detach().to("cpu", dtype).contiguous()
            out.write(cast.reshape(-1).view(torch.uint8).numpy())
            progress(name, cast.nbytes)
            del tensor, cast


def _header(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> bytes:
    """Length and JSON that a safetensors file begins with, padded so that the tensors start at a multiple of eight."""
    # transformers refuses a file without the format
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, shape in shapes.items():
        end = start + torch.Size(shape).numel() * dtype.itemsize
        entries[name] = {"dtype": _DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


class SafetensorsFolder(Mapping[str, Tensor]):
    """The weights of a Hugging Face folder by name; a tensor is read when it is asked for.

    Raises:
        UserError: the folder holds no safetensors, a shard is missing, or a file is cut or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file_of = self._find_files()

    def _find_files(self) -> dict[str, str]:
        if (self._folder / INDEX).exists():
            return read_index(self._folder / INDEX)
        if not (self._folder / SINGLE).exists():
            raise UserError(f"{self._folder} holds neither {SINGLE} nor {INDEX}")
        with self._reader(SINGLE) as reader:
            return dict.fromkeys(reader.keys(), SINGLE)

    def _reader(self, file: str) -> safe_open:
        path = self._folder / file
        try:
            return safe_open(path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise UserError(f"cannot read {path}: {error}; the file is missing or cut, convert again") from error

    def __getitem__(self, name: str) -> Tensor:
        file = self._file_of[name]
        # Opened anew for each tensor: the file is mapped, and what was read of it counts as the process's memory until
        # the mapping goes.
        with self._reader(file) as reader:
            try:
                return reader.get_tensor(name)
            except SafetensorError as error:
                raise UserError(f"{self._folder / file} lacks {name}: {error}; convert the model again") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def read_index(index: Path) -> dict[str, str]:
    """Name of a weight → the file beside `index` that holds it.

    Raises:
        UserError: no JSON, no such map, or a file outside the folder.
    """
    found = read_json(index)
    where = found.get("weight_map") if isinstance(found, dict) else None
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise UserError(f"{index} has no weight_map; convert the model again")
    for file in set(where.values()):
        if Path(file).name != file:
            raise UserError(f"{index} names {file!r}, which is outside its folder; convert the model again")
    return where
