"""A step that can be taken again: the state of one rank in host memory, and a fingerprint of its gradients."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from aixmeg.train.build import Training, whole_parameters
from aixmeg.train.state import random_tensors, set_random


class Snapshot:
    """Everything that a step changes: weights, buffers, optimizer and random numbers; collective to make and restore.

    Args:
        training: between two steps.
    """

    def __init__(self, training: Training) -> None:
        self._training = training
        with whole_parameters(training):
            self._tensors = [(tensor, tensor.detach().to("cpu", copy=True)) for tensor in _tensors(training)]
        self._groups = [(group, _options(group)) for group in training.optimizer.param_groups]
        self._random = {name: value.clone() for name, value in random_tensors().items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Make the training what it was."""
        with whole_parameters(self._training):
            for tensor, kept in self._tensors:
                tensor.detach().copy_(kept)
        for group, options in self._groups:
            group.update(options)
        set_random(self._random)


@dataclass
class Fingerprint:
    """Of one rank's own gradients, before the data-parallel ranks add theirs."""

    digests: dict[tuple[int, int, int], str] = field(default_factory=dict)
    """SHA-256 of each bucket's bytes, by (model chunk, bucket group, bucket)."""
    squares: float = 0.0
    """Sum of the squared gradients, in float64."""

    @property
    def digest(self) -> str:
        """One for all buckets, 16 hexadecimal digits."""
        return hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()[:16]

    @property
    def norm(self) -> float:
        """Norm of this rank's own gradients, scaled as in its buffers."""
        return self.squares**0.5


@contextlib.contextmanager
def fingerprint(training: Training) -> Iterator[Fingerprint]:
    """Inside, a step's gradients are taken down right before they are reduced."""
    found = Fingerprint()
    groups = [
        (chunk, number, group)
        for chunk, model in enumerate(training.wrapped)
        for number, group in enumerate(model.bucket_groups + model.expert_parallel_bucket_groups)
    ]
    for chunk, number, group in groups:
        group.start_grad_sync = _watched(found, (chunk, number), group)  # type: ignore[method-assign]
    try:
        yield found
    finally:
        for *_, group in groups:
            del group.start_grad_sync  # the class's own again


def weights_digest(training: Training) -> str:
    """SHA-256 of this rank's weights, 16 hexadecimal digits; equal on data-parallel replicas. Collective."""
    digest = hashlib.sha256()
    with whole_parameters(training):
        for model in training.models:
            for parameter in model.parameters():
                digest.update(_bytes(parameter))
    return digest.hexdigest()[:16]


def _watched(found: Fingerprint, place: tuple[int, int], group: Any) -> Any:
    original = group.start_grad_sync

    def start_grad_sync(*arguments: Any, **options: Any) -> Any:
        for number, bucket in enumerate(group.buckets):
            key = (*place, number)
            if key not in found.digests:  # with overlap, the first step of a process calls this twice
                found.digests[key] = hashlib.sha256(_bytes(bucket.grad_data)).hexdigest()
                found.squares += float(bucket.grad_data.double().square().sum())
        return original(*arguments, **options)

    return start_grad_sync


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy()


def _tensors(training: Training) -> Iterable[Tensor]:
    for model in training.models:
        yield from model.parameters()
        yield from model.buffers()
    for part in getattr(training.optimizer, "chained_optimizers", [training.optimizer]):
        for group in part.optimizer.param_groups:
            yield from group["params"]
        for state in part.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
