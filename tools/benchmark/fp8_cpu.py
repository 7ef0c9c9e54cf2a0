"""Time of csrc's FP8 kernels on the CPU against the same in torch's own functions, one thread.

    python tools/benchmark/fp8_cpu.py [--rows 2048] [--columns 1024] [--rounds 20] [--out tools/benchmark/results]

Both sides take turns in the same process, so that a busy machine slows each; the best of the rounds counts, the median
stands beside it in the JSON.
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
from rich.console import Console
from rich.table import Table

from aixmeg import ops
from aixmeg.files import write_json
from aixmeg.ops.fp8 import E4M3

Sides = tuple[Callable[[], Any], Callable[[], Any]]


def cases(rows: int, columns: int, dtype: torch.dtype) -> dict[str, Sides]:
    """(ours, torch's) over [rows, columns]."""
    x, gated = torch.randn(rows, columns, dtype=dtype), torch.randn(rows, 2 * columns, dtype=dtype)
    scale, amax = torch.tensor(64.0), torch.zeros(())

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        q = ops.reference_fp8_quantize(x, scale, E4M3)
        return q, q.view(torch.uint8).t().contiguous().view(E4M3)

    def swiglu() -> tuple[torch.Tensor, ...]:
        gate, up = gated.chunk(2, dim=-1)
        y = torch.nn.functional.silu(gate) * up
        return *both(y), y.abs().amax()

    return {
        "amax": (lambda: ops.fp8_amax(x), lambda: x.abs().amax()),
        "amax of columns": (lambda: ops.fp8_amax(x, axis="columns"), lambda: x.abs().amax(0)),
        "quantise": (lambda: ops.fp8_quantize(x, scale, E4M3), lambda: ops.reference_fp8_quantize(x, scale, E4M3)),
        "quantise, transpose": (lambda: ops.fp8_quantize_transpose(x, scale, E4M3), lambda: both(x)),
        "SwiGLU, quantise, transpose, amax": (
            lambda: ops.swiglu_fp8(gated, scale, E4M3, transpose=True, amax=amax),
            swiglu,
        ),
    }


def measure(sides: Sides, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of every round, the sides by turns, after two unmeasured rounds."""
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds + 2):
        for found, function in zip(times, sides, strict=True):
            start = time.perf_counter()
            function()
            if index >= 2:
                found.append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    """Measure, print, write results/fp8_cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    about = {**describe(), "kernels": ops.resolved()["fp8"], "torch": torch.__version__, "threads": 1}
    table = Table(title=f"{about['cpu']}, {about['kernels']}, one thread, {arguments.rows} x {arguments.columns}")
    for heading in ("op", "dtype", "csrc ms", "torch ms", "times faster"):
        table.add_column(heading, justify="left" if heading in ("op", "dtype") else "right")
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        for op, sides in cases(arguments.rows, arguments.columns, dtype).items():
            ours, theirs = measure(sides, arguments.rounds)
            best, other = min(ours), min(theirs)
            table.add_row(op, name, f"{best:.2f}", f"{other:.2f}", f"{other / best:.1f}")
            rows.append({
                "op": op, "dtype": name, "csrc_best": round(best, 3), "csrc_median": round(statistics.median(ours), 3),
                "torch_best": round(other, 3), "torch_median": round(statistics.median(theirs), 3),
                "ratio": round(other / best, 2),
            })  # fmt: skip
    Console(width=120).print(table)
    shape = [arguments.rows, arguments.columns]
    write_json(arguments.out / "fp8_cpu.json", {**about, "shape": shape, "unit": "ms", "rows": rows})


if __name__ == "__main__":
    main()
