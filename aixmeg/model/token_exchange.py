"""What the tensor ranks of a linear send each other: tokens before its product, gradients of tokens behind it.

Legend: `m` tokens, `k` features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup


@dataclass(frozen=True, kw_only=True)
class TokenExchange:
    """The group of a linear's tensor ranks and what it does there."""

    group: ProcessGroup
    gather_tokens: bool
    """Sequence parallelism: each rank holds a part of the tokens."""
    sum_input_gradient: bool
    """Each rank's gradient of the input is a summand, all-reduced here; without, and without `gather_tokens`, others
    sum it."""

    def gather(self, part: Tensor) -> Tensor:
        """`[m/tp, k]` → all ranks' tokens `[m, k]` in rank order; FP8 as bytes, which every backend carries."""
        if not self.gather_tokens:
            return part
        sent = part.contiguous()
        whole = sent.new_empty(sent.shape[0] * self.group.size(), sent.shape[1])
        if sent.element_size() == 1:
            dist.all_gather_into_tensor(whole.view(torch.uint8), sent.view(torch.uint8), group=self.group)
        else:
            dist.all_gather_into_tensor(whole, sent, group=self.group)
        return whole

    def start_sum(self, dx: Tensor) -> tuple[Tensor, Any]:
        """Begin to sum `dx` `[m, k]` over the ranks: what will hold the sum (this rank's part `[m/tp, k]` where it
        holds a part of the tokens), and what to wait for or None."""
        if self.gather_tokens:
            part = dx.new_empty(dx.shape[0] // self.group.size(), dx.shape[1])
            return part, dist.reduce_scatter_tensor(part, dx, group=self.group, async_op=True)
        if self.sum_input_gradient:
            return dx, dist.all_reduce(dx, group=self.group, async_op=True)
        return dx, None
