"""Collectives of a group of one rank, without the work.

megatron-core's distributed optimizer scatters gradients and gathers weights over the data-parallel ranks in place: each
rank's part is a view of the whole. With one rank the part is the whole and NCCL does nothing, but gloo copies the
buffer twice through memory that it has just allocated: a tenth of a step on the CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor


@functools.cache  # once per process, or wrappers would pile up
def install() -> None:
    """Make megatron-core's gradient and parameter buffers skip what changes nothing."""
    from megatron.core.distributed import param_and_grad_buffer as buffers

    buffers.dist_all_gather_func = _unless_alone(buffers.dist_all_gather_func)
    buffers.dist_reduce_scatter_func = _unless_alone(buffers.dist_reduce_scatter_func)


def _unless_alone(collective: Callable[..., Any]) -> Callable[..., Any]:
    """`collective(output, input, …)`, left out where one rank would receive what is there already."""

    @functools.wraps(collective)
    def call(output: Tensor, source: Tensor, *arguments: Any, **options: Any) -> Any:
        group = options.get("group")
        alone = group is not None and group.size() == 1
        if alone and output.data_ptr() == source.data_ptr() and output.numel() == source.numel():
            return None
        return collective(output, source, *arguments, **options)

    return call
