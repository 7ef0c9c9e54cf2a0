"""Models that are larger than memory: the weights of each part are there only while it computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

import torch
from torch import Tensor, nn
from torch.nn import Parameter

Slot = tuple[nn.Module, str, Parameter]
"""A parameter on the meta device, and whose attribute it is."""


@contextlib.contextmanager
def streamed(
    model: nn.Module,
    layers: nn.ModuleList,
    read: Callable[[Parameter], Tensor],
    *,
    kept: Collection[nn.Module] = (),
) -> Iterator[None]:
    """Inside, `model` computes though its parameters are on the meta device.

    Args:
        model: in evaluation mode.
        layers: its transformer layers. Each is a part, and so is every module outside that has parameters of its own.
        read: gives the values of one of the model's parameters, as often as it is asked.
        kept: parts whose weights stay once they are there, since others use them too.
    """
    within = {module for layer in layers for module in layer.modules()}
    alone = [module for module in model.modules() if module not in within]
    parts = [(layer, _slots(*layer.modules())) for layer in layers] + [(module, _slots(module)) for module in alone]
    handles = []
    for part, slots in parts:
        handles.append(part.register_forward_pre_hook(lambda *_, slots=slots: _load(slots, read)))
        if part not in kept:
            handles.append(part.register_forward_hook(lambda *_, slots=slots: _drop(slots), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for _, slots in parts:
            _drop(slots)


def _slots(*modules: nn.Module) -> list[Slot]:
    return [(module, name, one) for module in modules for name, one in module.named_parameters(recurse=False)]


def _load(slots: list[Slot], read: Callable[[Parameter], Tensor]) -> None:
    for module, name, parameter in slots:
        values = read(parameter)
        if values.shape != parameter.shape:
            raise ValueError(f"{name} of {type(module).__name__} is {list(parameter.shape)}, not {list(values.shape)}")
        setattr(module, name, Parameter(values, requires_grad=parameter.requires_grad))


def _drop(slots: list[Slot]) -> None:
    for module, name, parameter in slots:
        setattr(module, name, parameter)


def read_as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """float32, of values that `dtype` holds."""
    return tensor.to(dtype).float()
