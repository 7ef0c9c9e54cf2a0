"""The cases of ops_gpu.py that are matrix products: the weight gradient, and the output layer with its loss.

What bounds them is arithmetic, so they count operations too.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from ops_gpu_cases import Case, Made, Sizes, try_import
from torch import Tensor

from aixmeg import ops


def weight_gradient(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """main_grad += dyᵀ x of the feed-forward's first linear: x and dy are read, main_grad read and written."""
    x = torch.randn(sizes.tokens, sizes.hidden, dtype=dtype, device=device)
    dy = torch.randn(sizes.tokens, 2 * sizes.feed_forward, dtype=dtype, device=device)
    sums = {side: torch.zeros(dy.shape[1], x.shape[1], device=device) for side in ("csrc", "eager", "apex")}
    apex = try_import("fused_weight_gradient_mlp_cuda", "wgrad_gemm_accum_fp32")

    def csrc() -> Tensor:
        ops.wgrad_gemm_accum(x, dy, sums["csrc"])
        return sums["csrc"]

    def eager() -> Tensor:
        return sums["eager"].add_(dy.t() @ x)

    others: dict[str, Callable[[], object]] = {}
    if apex is not None:
        others["apex"] = lambda: apex(x, dy, sums["apex"])
    size = (x.numel() + dy.numel()) * dtype.itemsize + 8 * sums["csrc"].numel()
    name = str(dtype).removeprefix("torch.")
    return Case("weight_gradient", f"{name} → float32", "step", size, csrc, eager, others,
                flops=2 * x.numel() * dy.shape[1])  # fmt: skip


def linear_cross_entropy(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Each operand and each gradient once, had the logits no place in memory; three products at least."""
    made = Made(dtype, device)
    hidden, weight = made.leaf(sizes.tokens, 1, sizes.hidden), made.leaf(sizes.vocabulary, sizes.hidden)
    with torch.no_grad():
        weight.mul_(sizes.hidden**-0.5)
    target = torch.randint(0, sizes.vocabulary, (sizes.tokens, 1), device=device)
    liger = try_import("liger_kernel.transformers.functional", "liger_fused_linear_cross_entropy")

    def eager() -> Tensor:
        logits = F.linear(hidden, weight).flatten(0, 1).float()
        return F.cross_entropy(logits, target.flatten(), reduction="none")

    return made.case(
        "linear_cross_entropy", 3 * hidden.numel() + 3 * weight.numel(),
        lambda: ops.linear_cross_entropy(hidden, weight, target), eager,
        flops=6 * hidden.numel() * sizes.vocabulary,
        liger=liger and (lambda: liger(hidden.flatten(0, 1), weight, target.flatten(), reduction="sum")),
    )  # fmt: skip
