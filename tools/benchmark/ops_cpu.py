"""Time of csrc's CPU kernels against torch's own eager functions, forward and backward, one thread.

    python tools/benchmark/ops_cpu.py [--rows 2048] [--columns 1024] [--rounds 30] [--out tools/benchmark/results]

The two sides take turns in the same process, so that a busy machine slows both; the best of the rounds counts, the
median stands beside it in the JSON.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from aixmeg import ops
from aixmeg.files import write_json

EPS = 1e-5
HEAD_SIZE = 128


@dataclass(frozen=True)
class Case:
    """One op: the same inputs for both sides; `leaves` collect gradients."""

    name: str
    leaves: list[Tensor]
    fused: Callable[[], Tensor]
    eager: Callable[[], Tensor]


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

    @property
    def ratio(self) -> float:
        """How many times faster the kernel is."""
        return self.eager_best / self.fused_best


def eager_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As Llama implementations write it: x * cos + rotate_half(x) * sin, tables of the dtype of x."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def make_cases(rows: int, columns: int, dtype: torch.dtype) -> list[Case]:
    """All four ops over [rows, columns]; rotary sees the columns as heads of 128."""

    def leaf(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype, requires_grad=True)

    x, weight, gated = leaf(rows, columns), leaf(columns), leaf(rows, 2 * columns)
    heads, logits = leaf(rows, 1, columns // HEAD_SIZE, HEAD_SIZE), leaf(rows, 1, columns)
    target = torch.randint(0, columns, (rows, 1))
    cos, sin = ops.rotary_tables(rows, HEAD_SIZE, 10_000.0)
    wide_cos, wide_sin = (torch.cat((table, table), -1)[:, None, None].to(dtype) for table in (cos, sin))

    def eager_swiglu() -> Tensor:
        gate, up = gated.chunk(2, dim=-1)
        return F.silu(gate) * up

    def eager_cross_entropy() -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")

    return [
        Case(
            "rms_norm",
            [x, weight],
            lambda: ops.rms_norm(x, weight, EPS),
            lambda: F.rms_norm(x, (columns,), weight, EPS),
        ),
        Case("swiglu", [gated], lambda: ops.swiglu(gated), eager_swiglu),
        Case("rotary", [heads], lambda: ops.rotary(heads, cos, sin), lambda: eager_rotary(heads, wide_cos, wide_sin)),
        Case(
            "cross_entropy",
            [logits],
            lambda: ops.vocab_parallel_cross_entropy(logits, target),
            eager_cross_entropy,
        ),
    ]


def once(function: Callable[[], Tensor], leaves: list[Tensor]) -> float:
    """Milliseconds of one forward and backward pass."""
    for tensor in leaves:
        tensor.grad = None
    start = time.perf_counter()
    result = function()
    result.backward(torch.ones_like(result))
    return (time.perf_counter() - start) * 1e3


def measure(case: Case, dtype: torch.dtype, rounds: int) -> Row:
    """Both sides by turns, after a few unmeasured rounds."""
    fused, eager = [], []
    for index in range(rounds + 3):
        times = once(case.fused, case.leaves), once(case.eager, case.leaves)
        if index >= 3:
            fused.append(times[0])
            eager.append(times[1])
    return Row(
        op=case.name,
        dtype=str(dtype).removeprefix("torch."),
        shape=list(case.leaves[0].shape),
        fused_best=min(fused),
        fused_median=statistics.median(fused),
        eager_best=min(eager),
        eager_median=statistics.median(eager),
    )


def environment() -> dict[str, str]:
    """What the numbers belong to."""
    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in cpu_lines if line.startswith("model name")), "unknown")

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    sources = str(Path(__file__).resolve().parents[2] / "csrc")
    return {
        "cpu": f"{model} ({platform.machine()})",
        "kernels": ops.resolved()["rms_norm"],
        "torch": torch.__version__,
        "commit": git("rev-parse", "HEAD") + (" + changes in csrc" if git("status", "--porcelain", sources) else ""),
        "date": datetime.now(UTC).date().isoformat(),
    }


def show(rows: list[Row], about: dict[str, str]) -> None:
    """The table on standard output."""
    table = Table(title=f"forward + backward, one thread: {about['cpu']}, {about['kernels']}, torch {about['torch']}")
    for heading in ("op", "dtype", "shape", "csrc ms", "torch ms", "times faster"):
        table.add_column(heading, justify="left" if heading in ("op", "dtype") else "right")
    for row in rows:
        numbers = (f"{row.fused_best:.2f}", f"{row.eager_best:.2f}", f"{row.ratio:.1f}")
        table.add_row(row.op, row.dtype, "×".join(map(str, row.shape)), *numbers)
    Console(width=120).print(table)


def main() -> None:
    """Measure, print, write results/ops_cpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--columns", type=int, default=1024, help="a multiple of 128")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = [
        measure(case, dtype, arguments.rounds)
        for dtype in (torch.float32, torch.bfloat16)
        for case in make_cases(arguments.rows, arguments.columns, dtype)
    ]
    about = environment()
    show(rows, about)
    measured = [
        {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(row).items()}
        | {"ratio": round(row.ratio, 2)}
        for row in rows
    ]
    write_json(arguments.out / "ops_cpu.json", {**about, "threads": 1, "unit": "ms, best of rounds", "rows": measured})


if __name__ == "__main__":
    main()
