"""Generation by several processes that hold a part of each layer: the first one has the prompts, the others follow.

Each decodes the same texts: logits are gathered on every rank. `torchrun --nproc-per-node 2 -m aixmeg eval …` runs the
command's own work, files and programs, on rank 0 alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from aixmeg.convert.native import Native, open_model
from aixmeg.generate.batch import generate
from aixmeg.generate.decode import Decoded
from aixmeg.parallel.launch import discover

Dtype = Literal["fp32", "bf16"]


@contextlib.contextmanager
def lead(folder: Path, *, dtype: Dtype) -> Iterator[Native]:
    """The model, on rank 0 or alone; the others are told when it is not needed any more.

    Raises:
        UserError: see `open_model`.
    """
    with open_model(folder, share=True) as native:
        _to(native, dtype)
        yield native
        _send(None)  # not after an error: the others may be in the middle of a text, and end when this process does


def follow(folder: Path, *, dtype: Dtype) -> bool:
    """What the ranks behind 0 do: decode what it decodes, until it ends. False, and nothing done, on rank 0.

    Raises:
        UserError: see `open_model`.
    """
    if discover().rank == 0:
        return False
    with open_model(folder, share=True) as native:
        _to(native, dtype)
        while (job := _send(None)) is not None:
            prompts, options = job
            generate(native.model, prompts, **options)
    return True


def decode_together(native: Native, prompts: Sequence[Sequence[int]], **options: Any) -> list[Decoded]:
    """`generate` on all ranks; called on rank 0."""
    _send((list(map(list, prompts)), options))
    return generate(native.model, prompts, **options)


def _to(native: Native, dtype: Dtype) -> None:
    if dtype == "bf16":
        native.model.bfloat16()


def _send(job: Any) -> Any:
    """What rank 0 gives, on every rank."""
    if torch.distributed.get_world_size() == 1:
        return job
    held = [job]
    torch.distributed.broadcast_object_list(held, src=0)
    return held[0]
