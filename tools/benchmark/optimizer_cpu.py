"""Time of csrc's optimizer on the CPU against torch's AdamW and megatron-core's loops, one thread.

    python tools/benchmark/optimizer_cpu.py [--layers 4] [--hidden 1024] [--rounds 20] [--out tools/benchmark/results]

The parameters are those of `layers` Llama layers. All sides take turns in the same process, so that a busy machine
slows each; the best of the rounds counts, the median stands beside it in the JSON.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hardware import describe
from megatron.core import utils
from rich.console import Console
from rich.table import Table
from torch import Tensor

import aixmeg.parallel  # noqa: F401  # prepares the process before megatron.core
from aixmeg import ops
from aixmeg.files import write_json
from aixmeg.ops.weight_gradient import wgrad_gemm_accum
from aixmeg.train import fused_adam

OPTIONS: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
Sides = dict[str, Callable[[], Any]]


def shapes_of(layers: int, hidden: int) -> list[tuple[int, ...]]:
    """Weights of Llama layers with a feed-forward width of 2.75 times the hidden size."""
    wide = hidden * 11 // 4
    layer = [(hidden,), (3 * hidden, hidden), (hidden, hidden), (hidden,), (2 * wide, hidden), (hidden, wide)]
    return layer * layers


def adamw_sides(shapes: list[tuple[int, ...]]) -> Sides:
    """A step of every implementation on its own parameters, from the same gradients."""
    grads = [torch.randn(shape) for shape in shapes]

    def optimizer(make: Callable[..., Any], dtype: torch.dtype = torch.float32, **options: Any) -> Callable[[], Any]:
        params = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in shapes]
        for param, grad in zip(params, grads, strict=True):
            if options.get("use_decoupled_grad"):
                param.decoupled_grad = grad  # type: ignore[attr-defined]
            else:
                param.grad = grad
        return make(params, **OPTIONS, **options).step

    bf16 = torch.bfloat16
    return {
        "csrc": optimizer(fused_adam.FusedAdam),
        "csrc, bf16 model and moments": optimizer(
            fused_adam.FusedAdam, bf16, master_weights=True, use_decoupled_grad=True, exp_avg_dtype=bf16,
            exp_avg_sq_dtype=bf16,
        ),
        "torch fused": optimizer(torch.optim.AdamW, fused=True),
        "torch foreach": optimizer(torch.optim.AdamW, foreach=True),
        "torch loop": optimizer(torch.optim.AdamW, foreach=False, fused=False),
    }  # fmt: skip


def norm_sides(shapes: list[tuple[int, ...]]) -> Sides:
    """Gradient norm."""
    grads, flag = [torch.randn(shape) for shape in shapes], torch.zeros(1, dtype=torch.int32)
    return {
        "csrc": lambda: fused_adam.multi_tensor_l2norm(0, flag, [grads]),
        "torch foreach": lambda: torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))),  # type: ignore[attr-defined]
        "megatron-core loop": lambda: utils.local_multi_tensor_l2_norm(0, flag, [grads], False),
    }


def scale_sides(shapes: list[tuple[int, ...]]) -> Sides:
    """Clipping: gradients scaled in place; ours also looks for what is not finite."""
    grads, flag = [torch.randn(shape) for shape in shapes], torch.zeros(1, dtype=torch.int32)
    return {
        "csrc": lambda: fused_adam.multi_tensor_scale(0, flag, [grads, grads], 0.999),
        "torch foreach": lambda: torch._foreach_mul_(grads, 0.999),  # type: ignore[attr-defined]
        "megatron-core loop": lambda: utils.local_multi_tensor_scale(0, flag, [grads, grads], 0.999),
    }


def weight_gradient_sides(hidden: int, dtype: torch.dtype) -> Sides:
    """A linear layer's weight gradient of 256 tokens, added to fp32."""
    x, dy = torch.randn(256, hidden).to(dtype), torch.randn(256, hidden).to(dtype)
    main_grad = torch.zeros(hidden, hidden)

    def apart() -> Tensor:
        return main_grad.add_(dy.t() @ x)  # what megatron-core's DDP does with a gradient that autograd made

    return {"accumulated": lambda: wgrad_gemm_accum(x, dy, main_grad), "made, then added": apart}


def measure(sides: Sides, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of every round, the sides by turns, after two unmeasured rounds."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(rounds + 2):
        for name, function in sides.items():
            start = time.perf_counter()
            function()
            if index >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    """Measure, print, write results/optimizer_cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=1024, help="a multiple of 4")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shapes = shapes_of(arguments.layers, arguments.hidden)
    cases = {
        "AdamW step": adamw_sides(shapes),
        "gradient norm": norm_sides(shapes),
        "clipping": scale_sides(shapes),
        "weight gradient fp32": weight_gradient_sides(arguments.hidden, torch.float32),
        "weight gradient bf16": weight_gradient_sides(arguments.hidden, torch.bfloat16),
    }
    about = {**describe(), "kernels": ops.resolved()["optimizer"], "torch": torch.__version__, "threads": 1}
    weights = sum(torch.Size(shape).numel() for shape in shapes)
    table = Table(title=f"{about['cpu']}, {about['kernels']}, one thread, {weights / 1e6:.1f} M weights")
    for heading in ("op", "side", "best ms", "median ms", "time / csrc's"):
        table.add_column(heading, justify="left" if heading in ("op", "side") else "right")
    rows = []
    for op, sides in cases.items():
        times = measure(sides, arguments.rounds)
        ours = min(next(iter(times.values())))
        for side, values in times.items():
            best, median, ratio = min(values), statistics.median(values), min(values) / ours
            table.add_row(op, side, f"{best:.2f}", f"{median:.2f}", f"{ratio:.2f}")
            rows.append({
                "op": op, "side": side, "best": round(best, 3), "median": round(median, 3), "ratio": round(ratio, 2)
            })  # fmt: skip
    Console(width=120).print(table)
    write_json(arguments.out / "optimizer_cpu.json", {**about, "weights": weights, "unit": "ms", "rows": rows})


if __name__ == "__main__":
    main()
