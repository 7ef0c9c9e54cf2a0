"""Errors that every rank learns of, so that none waits in a collective for a rank that has given up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist
from torch.distributed import ProcessGroup

from aixmeg.errors import OthersError

T = TypeVar("T")


def on_rank_zero(action: Callable[[], T], group: ProcessGroup | None = None) -> T:
    """Run `action` on rank 0 alone and return its (small, picklable) result on every rank.

    `group` holds all ranks and carries the messages; None means the default one.

    Raises:
        OthersError: `action` failed on rank 0, which raises its own error.
    """
    outcome: list[object] = [None, None]
    failure: Exception | None = None
    if dist.get_rank() == 0:
        try:
            outcome[0] = action()
        except Exception as error:
            failure, outcome[1] = error, str(error) or type(error).__name__
    dist.broadcast_object_list(outcome, src=0, group=group)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise OthersError(str(outcome[1]))
    return outcome[0]  # type: ignore[return-value]


def on_every_rank(action: Callable[[], T], group: ProcessGroup | None = None) -> T:
    """Run `action`, which holds no collective, on every rank; if it fails anywhere, every rank raises.

    `group` holds all ranks and carries the messages; None means the default one.

    Raises:
        OthersError: `action` failed on another rank; the failing rank raises its own error.
    """
    failure: Exception | None = None
    result: T | None = None
    try:
        result = action()
    except Exception as error:
        failure = error
    failures: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(failures, None if failure is None else str(failure) or type(failure).__name__, group=group)
    if failure is not None:
        raise failure
    for rank, message in enumerate(failures):
        if message is not None:
            raise OthersError(f"rank {rank}: {message}")
    return result  # type: ignore[return-value]


def gather_on_zero(value: T, group: ProcessGroup | None = None) -> list[T]:
    """The (picklable) values of all ranks on rank 0, in their order; an empty list elsewhere."""
    found: list[Any] = [None] * dist.get_world_size() if dist.get_rank() == 0 else []
    dist.gather_object(value, found or None, dst=0, group=group)
    return found
