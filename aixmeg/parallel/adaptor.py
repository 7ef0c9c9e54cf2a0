"""megatron-core on a machine without CUDA: what its training path asks of `torch.cuda` resolves to the CPU.

Importing `aixmeg.parallel` calls `install()`; where CUDA is available nothing is touched. megatron-core's files are
not edited and torch's are not either: attributes of `torch.cuda` are replaced, one torch-function mode redirects
devices, and `torch.distributed.isend` sends an alias. Measured against megatron-core 0.16.1; the tests of
`tests/dist` run every parallel layout through it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed
from torch.overrides import TorchFunctionMode

_CPU = torch.device("cpu")


@functools.cache  # once per process: a second mode or a second alias would only cost time
def install() -> bool:
    """Patch this process unless CUDA is available; True if it was patched."""
    if torch.cuda.is_available():
        return False
    _redirect_devices()
    _use_cpu_generator()
    _skip_synchronisation()
    _alias_sends()
    return True


def sends_are_aliased() -> bool:
    """Whether a tensor may be freed while gloo still sends it (see `_alias_sends`)."""
    return getattr(torch.distributed.isend, "sends_alias", False)


class _CudaToCpu(TorchFunctionMode):
    """Sends to the CPU what megatron-core asks of the GPU by a literal name.

    - `device="cuda"`: its optimizers, gradient clipping and schedules make scalars there;
    - `tensor.cuda()`: tied embeddings and optimizer states are moved there;
    - `tensor.type()`: its optimizers accept parameters named `torch.cuda.*Tensor` and no others.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if kwargs:
            if "device" in kwargs and _is_cuda(kwargs["device"]):
                kwargs = {**kwargs, "device": _CPU}
            return func(*args, **kwargs)
        if func is torch.Tensor.cuda:
            return args[0]
        if func is torch.Tensor.type and len(args) == 1:
            return func(*args).replace("torch.", "torch.cuda.")
        return func(*args)


def _is_cuda(device: object) -> bool:
    return (isinstance(device, str) and device.startswith("cuda")) or (
        isinstance(device, torch.device) and device.type == "cuda"
    )


def _redirect_devices() -> None:
    _CudaToCpu().__enter__()  # for the life of the process; of this thread, in which CPU backward passes run too
    _replace("current_device", lambda: _CPU)  # passed on as `device=` by buffers, point-to-point and timers


def _use_cpu_generator() -> None:
    """The random-state tracker forks "the CUDA generator" around initialisation, dropout and recomputation."""
    _replace("get_rng_state", lambda *args, **kwargs: torch.get_rng_state())
    _replace("manual_seed", torch.manual_seed)
    _replace("default_generators", {_CPU: torch.default_generator, 0: torch.default_generator})
    _replace("_lazy_call", _call_now)  # the original queues the call until CUDA starts, which never happens
    tracker = sys.modules.get("megatron.core.tensor_parallel.random")
    if tracker is not None:  # imported before us (the dataset code may), with the original bound by name
        tracker._lazy_call = _call_now  # type: ignore[attr-defined]


def _call_now(function: Callable[[], Any], **_: Any) -> None:
    function()


def _skip_synchronisation() -> None:
    """Pipeline schedules, timers and checkpoints wait for the device; CPU work is complete when the call returns."""
    _replace("synchronize", lambda *args, **kwargs: None)


def _replace(name: str, value: Any) -> None:
    """Set `torch.cuda.NAME`, and `torch.cuda.random.NAME` where it was defined there."""
    for module in (torch.cuda, torch.cuda.random):
        if hasattr(module, name):
            setattr(module, name, value)


def _alias_sends() -> None:
    """Gloo reads a tensor's memory after `isend` has returned, NCCL keeps a reference of its own.

    megatron-core's pipeline frees an activation right after sending it (`deallocate_pipeline_outputs` replaces
    `.data` by one element): over gloo 34 of 40 steps received other tensors' bytes. The work object holds the tensor
    that it was given, so a detached alias keeps the memory until the send is done.
    """
    original = torch.distributed.isend

    @functools.wraps(original)
    def isend(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return original(tensor.detach(), *args, **kwargs)

    isend.sends_alias = True  # type: ignore[attr-defined]
    # Both names: batch_isend_irecv compares an operation's function with the second one.
    torch.distributed.isend = torch.distributed.distributed_c10d.isend = isend
