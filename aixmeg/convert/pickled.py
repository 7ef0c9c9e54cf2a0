"""Weights from files that torch.save wrote: `pytorch_model.bin`, shards of it, or a single `.pt`.

Such a file is a pickle, and loading one can run any code. It is read with `weights_only=True`, which knows tensors and
plain containers and refuses everything else. It is mapped instead of read, and mapped anew for each tensor: what was
touched of a mapping counts as the process's memory until the mapping goes.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aixmeg.convert.weights import INDEX, SINGLE, SafetensorsFolder, read_index
from aixmeg.errors import UserError

PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


class PickledFolder(Mapping[str, Tensor]):
    """Weights of a folder with pytorch_model.bin, or with shards and an index, by name.

    Raises:
        UserError: a file is missing, damaged, or holds more than tensors.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        index = folder / PICKLED_INDEX
        self._file_of = read_index(index) if index.exists() else dict.fromkeys(load_tensors(folder / PICKLED), PICKLED)

    def __getitem__(self, name: str) -> Tensor:
        file = self._file_of[name]
        try:
            return load_tensors(self._folder / file)[name]
        except KeyError as error:
            raise UserError(f"{self._folder / file} lacks {name}; the index belongs to other files") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)


def open_weights(folder: Path) -> Mapping[str, Tensor]:
    """The weights of a Hugging Face folder, of safetensors where it has both kinds.

    Raises:
        UserError: it has no weights, or they cannot be read.
    """
    if any((folder / name).exists() for name in (SINGLE, INDEX)):
        return SafetensorsFolder(folder)
    if any((folder / name).exists() for name in (PICKLED, PICKLED_INDEX)):
        return PickledFolder(folder)
    raise UserError(f"{folder} holds no weights: looked for {SINGLE}, {INDEX}, {PICKLED} and {PICKLED_INDEX}")


def load_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of one file by name, mapped into memory.

    Raises:
        UserError: missing, damaged, in the format from before torch 1.6, or it holds more than tensors.
    """
    return tensors_of(load_plain(file), file)


def load_plain(file: Path) -> Any:
    """What one file holds, provided that it is made of tensors and plain containers."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file} holds more than tensors, and unpickling it could run code, so it is refused "
            f"({_first_line(error)}); get the model as safetensors"
        ) from error
    except (OSError, EOFError, RuntimeError) as error:
        raise UserError(f"cannot read {file}: {_first_line(error)}; it is missing, cut or of an old format") from error


def tensors_of(found: Any, file: Path) -> dict[str, Tensor]:
    """`found` if it is a flat dictionary of tensors.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    ):
        raise UserError(f"{file} is no dictionary of tensors; name a folder that holds a model's weights")
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
