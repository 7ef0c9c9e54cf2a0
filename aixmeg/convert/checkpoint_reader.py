"""Weights of a `torch_dist` checkpoint, one tensor at a time, from any layout, without building a model.

The folder holds `.metadata`, a pickled table of contents, and `*.distcp` files, in which serialized tensors stand one
behind the other (torch.distributed.checkpoint.FileSystemWriter). megatron-core adds a rule: weights of all layers are
one tensor with the layer as first axis, cut into chunks of one layer, and again as the ranks shared them.

The table is read by an unpickler that knows only the classes of such a table, and the tensors with `weights_only`: a
checkpoint from a stranger runs no code here.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorStorageMetadata,
)

from aixmeg.errors import UserError
from aixmeg.model.names import global_name

TABLE_OF_CONTENTS = ".metadata"
_NOT_WEIGHTS = ("optimizer.", "random.", "rerun_state")
_STACKED = re.compile(r"decoder\.layers\.(?!\d)(.+)")
_CLASSES = {
    "collections": {"OrderedDict"},
    "pathlib": {"PosixPath"},
    "pathlib._local": {"PosixPath"},
    "torch": {"Size"},
    "torch.serialization": {"_get_layout"},
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.distributed.checkpoint.metadata": {
        "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta", "TensorProperties",
        "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
    },
}  # fmt: skip
"""Module → names that a table of contents may hold, besides torch's types."""


class CheckpointWeights(Mapping[str, Tensor]):
    """The weights of a checkpoint folder by global name; a tensor is read when it is asked for.

    Raises:
        UserError: no such checkpoint, damaged, or with a pickle that holds anything but a table of contents.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._metadata = read_table(folder / TABLE_OF_CONTENTS)
        self._tensors = {
            key: found
            for key, found in self._metadata.state_dict_metadata.items()
            if isinstance(found, TensorStorageMetadata) and not key.startswith(_NOT_WEIGHTS)
        }
        self._place = dict(self._places())

    def _places(self) -> Iterator[tuple[str, tuple[str, int | None]]]:
        """(global name, (key in the checkpoint, layer on its first axis or None))."""
        for key, found in self._tensors.items():
            stacked = _STACKED.fullmatch(key)
            if stacked is None:
                yield global_name(key), (key, None)
                continue
            for layer in range(found.size[0]):
                yield global_name(f"decoder.layers.{layer}.{stacked[1]}"), (key, layer)

    def __getitem__(self, name: str) -> Tensor:
        key, layer = self._place[name]
        found = self._tensors[key]
        shape = found.size if layer is None else found.size[1:]
        chunks = [chunk for chunk in found.chunks if layer is None or _holds(chunk, layer)]
        if sum(torch.Size(_without(layer, chunk.sizes)).numel() for chunk in chunks) != torch.Size(shape).numel():
            raise UserError(f"the checkpoint {self._folder} lacks parts of {key}; it is damaged, use another one")
        whole: Tensor | None = None
        for chunk in chunks:
            part = self._read(key, chunk)
            if layer is not None:
                part = part[layer - chunk.offsets[0]]
            if len(chunks) == 1:
                return part.reshape(shape)
            if whole is None:
                whole = torch.empty(shape, dtype=part.dtype)
            corner = zip(_without(layer, chunk.offsets), part.shape, strict=True)
            whole[tuple(slice(start, start + size) for start, size in corner)] = part
        assert whole is not None
        return whole

    def _read(self, key: str, chunk: ChunkStorageMetadata) -> Tensor:
        try:
            place = self._metadata.storage_data[MetadataIndex(key, chunk.offsets)]
            if getattr(place, "transform_descriptors", None) or Path(place.relative_path).name != place.relative_path:
                raise UserError(f"the checkpoint {self._folder} stores {key} in a way that is not supported")
            with (self._folder / place.relative_path).open("rb") as file:
                window: Any = _Window(file, place.offset, place.length)
                part = torch.load(window, map_location="cpu", weights_only=True)
        except (KeyError, OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(f"cannot read {key} from the checkpoint {self._folder}: {cause}; it is damaged") from error
        if not isinstance(part, Tensor) or part.shape != chunk.sizes:
            raise UserError(f"the checkpoint {self._folder} holds something else than its table says of {key}")
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def _holds(chunk: ChunkStorageMetadata, layer: int) -> bool:
    return chunk.offsets[0] <= layer < chunk.offsets[0] + chunk.sizes[0]


def _without(layer: int | None, axes: torch.Size) -> torch.Size:
    """Shape or offset within one layer."""
    return axes if layer is None else axes[1:]


def read_table(file: Path) -> Metadata:
    """The table of contents of a checkpoint, unpickled without running anything.

    Raises:
        UserError: missing, damaged, or it names a class that a table of contents has no use for.
    """
    try:
        with file.open("rb") as stream:
            found = _TableUnpickler(stream).load()
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(f"cannot read {file}: {error!r}; the checkpoint is missing or damaged, use another") from error
    if not isinstance(found, Metadata):
        raise UserError(f"{file} holds a {type(found).__name__}, not the table of contents of a checkpoint")
    return found


class _TableUnpickler(pickle.Unpickler):
    """Knows the classes of a table of contents and refuses every other by name."""

    def find_class(self, module: str, name: str) -> Any:
        """The class if it may be there."""
        if name in _CLASSES.get(module, ()) or (module == "torch" and isinstance(getattr(torch, name, 0), torch.dtype)):
            return super().find_class(module, name)
        raise UserError(
            f"the checkpoint's {TABLE_OF_CONTENTS} asks for {module}.{name}, which no such table needs and which "
            "could run code; do not use this checkpoint unless you know who made it"
        )


class _Window(io.RawIOBase):
    """The part of a file that one tensor was serialized into, as a file of its own."""

    def __init__(self, file: Any, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view = view[: max(0, self._length - self._at)]
        self._file.seek(self._start + self._at)
        count = self._file.readinto(view)
        self._at += count
        return count
