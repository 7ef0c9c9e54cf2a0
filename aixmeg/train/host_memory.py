"""Host memory that a checkpoint is put together in while the training waits."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


class HostMemory:
    """Tensors by name, whose memory serves the next save again: fresh pages would cost more than the copy itself.

    At most one checkpoint may be in it. What comes from a GPU goes to pinned memory, by copies that `finish` waits for.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Tensor] = {}
        self._places: set[int] = set()
        self._devices: set[torch.device] = set()
        self.copied = 0
        """Bytes that `copy` has copied since the object was made."""

    def put(self, name: Hashable, tensors: Sequence[Tensor]) -> Tensor:
        """Flat tensors of one type end to end, once `finish` has been called, and until the next of that name."""
        kept = self._take(name, torch.Size([sum(one.numel() for one in tensors)]), tensors[0].dtype, tensors[0].device)
        for piece, one in zip(kept.split([one.numel() for one in tensors]), tensors, strict=True):
            piece.copy_(one.detach(), non_blocking=True)
        return kept

    def copy(self, name: Hashable, tensor: Tensor) -> Tensor:
        """What holds `tensor` once `finish` has been called, and until the next of that name."""
        kept = self._take(name, tensor.shape, tensor.dtype, tensor.device)
        kept.copy_(tensor.detach(), non_blocking=True)
        self.copied += tensor.nbytes
        return kept

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether it lies in this memory, where no training step changes it."""
        return tensor.untyped_storage().data_ptr() in self._places

    def finish(self) -> None:
        """Wait for copies from GPUs that are on their way."""
        while self._devices:
            torch.cuda.current_stream(self._devices.pop()).synchronize()

    def _take(self, name: Hashable, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
        if device.type == "cuda":
            self._devices.add(device)
        kept = self._kept.get(name)
        if kept is None or kept.shape != shape or kept.dtype != dtype:
            if kept is not None:
                self._places.discard(kept.untyped_storage().data_ptr())
            kept = self._kept[name] = _host_tensor(shape, dtype, pinned=device.type == "cuda")
            if kept.numel():
                self._places.add(kept.untyped_storage().data_ptr())
        return kept


def _host_tensor(shape: torch.Size, dtype: torch.dtype, *, pinned: bool) -> Tensor:
    if pinned:
        try:
            return torch.empty(shape, dtype=dtype, pin_memory=True)
        except RuntimeError:
            pass  # the system pins no more; copies to pageable memory are slower, and as right
    return torch.empty(shape, dtype=dtype)
