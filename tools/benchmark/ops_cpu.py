"""Time of csrc's CPU kernels against torch's own functions, eager and compiled, forward and backward, one thread.

    python tools/benchmark/ops_cpu.py [--rows 2048] [--columns 1024] [--rounds 30] [--only rms_norm …]
        [--eager-only] [--out tools/benchmark/results]

The sides take turns in the same process, so that a busy machine slows all; the best of the rounds counts, the median
stands beside it in the JSON. `torch.compile` gets the same plain functions with the default backend.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hardware import describe
from rich.console import Console
from rich.table import Table
from torch import Tensor

from aixmeg import ops
from aixmeg.files import write_json

EPS = 1e-5
HEAD_SIZE = 128
GROUPED = 2  # query heads per key in the packed projection

Results = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Case:
    """One op: the same inputs, all of which collect gradients, for every side."""

    name: str
    inputs: list[Tensor]
    fused: Callable[..., Results]
    plain: Callable[..., Results]
    rounds_share: float = 1.0
    """Of the rounds asked for: a product of matrices takes long."""


@dataclass(frozen=True)
class Row:
    """Milliseconds of one forward and backward pass."""

    op: str
    dtype: str
    shape: list[int]
    fused_best: float
    fused_median: float
    eager_best: float
    eager_median: float
    compiled_best: float | None = None
    compiled_median: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster than eager the kernel is."""
        return self.eager_best / self.fused_best

    @property
    def ratio_compiled(self) -> float | None:
        """How many times faster than torch.compile."""
        return None if self.compiled_best is None else self.compiled_best / self.fused_best


def eager_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As Llama implementations write it: x * cos + rotate_half(x) * sin, tables of the dtype of x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def eager_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor) -> Results:
    """The addition and the norm apart; both results go on."""
    total = x + residual
    return F.rms_norm(total, weight.shape, weight, EPS), total


def eager_swiglu(x: Tensor) -> Tensor:
    """The two halves apart."""
    gate, up = x.chunk(2, dim=-1)
    return F.silu(gate) * up


def make_cases(rows: int, columns: int, dtype: torch.dtype) -> list[Case]:
    """All ops over [rows, columns]; rotary sees the columns as heads of 128."""

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype, requires_grad=True)

    x, residual, weight, gated = leaf(rows, columns), leaf(rows, columns), leaf(columns), leaf(rows, 2 * columns)
    heads, logits = leaf(rows, 1, columns // HEAD_SIZE, HEAD_SIZE), leaf(rows, 1, columns)
    mixed = leaf(rows, 1, max(columns // HEAD_SIZE // (GROUPED + 2), 1), (GROUPED + 2) * HEAD_SIZE)
    hidden, output = leaf(rows, 1, columns), leaf(columns, columns)
    target = torch.randint(0, columns, (rows, 1))
    cos, sin = ops.rotary_tables(rows, HEAD_SIZE, 10_000.0)
    wide_cos, wide_sin = (torch.cat((table, table), -1)[:, None, None].to(dtype) for table in (cos, sin))

    def rotary(x: Tensor) -> Tensor:
        return eager_rotary(x, wide_cos, wide_sin)

    def rotary_qkv(mixed: Tensor) -> Results:
        query, key, value = mixed.split([GROUPED * HEAD_SIZE, HEAD_SIZE, HEAD_SIZE], dim=-1)
        return rotary(query.reshape(rows, 1, -1, HEAD_SIZE)), rotary(key), value.contiguous()

    def cross_entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")

    return [
        Case(
            "rms_norm", [x, weight], lambda x, w: ops.rms_norm(x, w, EPS), lambda x, w: F.rms_norm(x, w.shape, w, EPS)
        ),
        Case("add_rms_norm", [x, residual, weight], lambda x, r, w: ops.add_rms_norm(x, r, w, EPS), eager_add_rms_norm),
        Case("swiglu", [gated], ops.swiglu, eager_swiglu),
        Case("rotary", [heads], lambda x: ops.rotary(x, cos, sin), rotary),
        Case("rotary_qkv", [mixed], lambda x: ops.rotary_qkv(x, cos, sin), rotary_qkv),
        Case("cross_entropy", [logits], lambda x: ops.vocab_parallel_cross_entropy(x, target), cross_entropy),
        Case(
            "linear_cross_entropy",
            [hidden, output],
            lambda x, w: ops.linear_cross_entropy(x, w, target, chunk_rows=rows),
            lambda x, w: cross_entropy(F.linear(x, w)),
            rounds_share=0.2,
        ),
    ]


def once(function: Callable[..., Results], inputs: list[Tensor]) -> float:
    """Milliseconds of one forward and backward pass."""
    for tensor in inputs:
        tensor.grad = None
    start = time.perf_counter()
    found = function(*inputs)
    results = found if isinstance(found, tuple) else (found,)
    torch.autograd.backward(results, [torch.ones_like(result) for result in results])
    return (time.perf_counter() - start) * 1e3


def measure(case: Case, dtype: torch.dtype, rounds: int, *, compiled: bool) -> Row:
    """All sides by turns, after a few unmeasured rounds."""
    torch.compiler.reset()
    sides = {"fused": case.fused, "eager": case.plain}
    if compiled:
        sides["compiled"] = torch.compile(case.plain)
    times: dict[str, list[float]] = {name: [] for name in sides}
    rounds, unmeasured = max(1, round(rounds * case.rounds_share)), 3 if case.rounds_share == 1.0 else 1
    for index in range(rounds + unmeasured):
        for name, function in sides.items():
            elapsed = once(function, case.inputs)
            if index >= unmeasured:
                times[name].append(elapsed)
    numbers = {f"{name}_best": min(each) for name, each in times.items()}
    numbers |= {f"{name}_median": statistics.median(each) for name, each in times.items()}
    return Row(op=case.name, dtype=str(dtype).removeprefix("torch."), shape=list(case.inputs[0].shape), **numbers)


def show(rows: list[Row], about: dict[str, Any]) -> None:
    """The table on standard output."""
    table = Table(title=f"forward + backward, one thread: {about['cpu']}, {about['kernels']}, torch {about['torch']}")
    for heading in ("op", "dtype", "shape", "csrc ms", "eager ms", "compiled ms", "× eager", "× compiled"):
        table.add_column(heading, justify="left" if heading in ("op", "dtype") else "right")
    for row in rows:
        numbers = (row.fused_best, row.eager_best, row.compiled_best, row.ratio, row.ratio_compiled)
        shape = "×".join(map(str, row.shape))
        table.add_row(row.op, row.dtype, shape, *("–" if number is None else f"{number:.2f}" for number in numbers))
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, write results/ops_cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--columns", type=int, default=1024, help="a multiple of 128")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--eager-only", action="store_true", help="without torch.compile, which needs a minute")
    parser.add_argument("--only", nargs="+", help="names of ops")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    load_before = os.getloadavg()[0]
    rows = [
        measure(case, dtype, arguments.rounds, compiled=not arguments.eager_only)
        for dtype in (torch.float32, torch.bfloat16)
        for case in make_cases(arguments.rows, arguments.columns, dtype)
        if arguments.only is None or case.name in arguments.only
    ]
    about = {
        **describe(),
        "kernels": ops.resolved()["rms_norm"],
        "torch": torch.__version__,
        "threads": 1,
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
    }
    show(rows, about)
    measured = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(row).items()}
        | {"ratio": round(row.ratio, 2)}
        | ({} if row.ratio_compiled is None else {"ratio_compiled": round(row.ratio_compiled, 2)})
        for row in rows
    ]
    write_json(arguments.out / "ops_cpu.json", {**about, "unit": "ms, best of rounds", "rows": measured})


if __name__ == "__main__":
    main()
