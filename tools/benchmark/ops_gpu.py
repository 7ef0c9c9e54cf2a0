"""Every CUDA op at the 7B model's shapes: time, share of the measured copy bandwidth, and what others need.

    python tools/benchmark/ops_gpu.py [--tokens 8192] [--rounds 30] [--out DIR] [--device cuda]

Sides: the kernels of csrc/, torch's eager functions, the same under torch.compile, and Liger, apex and Transformer
Engine where they can be imported. Each round writes a buffer larger than the L2 cache before each side; the median of
the rounds counts. `bytes` is what an op must at least read and write, each tensor once; its share of copy bandwidth
is bytes / time over that of one large copy measured in the same run. On a CPU the same program runs, with small sizes,
so that it can be tested without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from hardware import describe
from ops_gpu_cases import Case, Sizes, make_cases
from ops_gpu_products import linear_cross_entropy, weight_gradient
from rich.console import Console
from rich.table import Table

from aixmeg import ops
from aixmeg.files import write_json

FLUSH_BYTES = 256 << 20
COPY_BYTES = 2 << 30


@dataclass
class Row:
    """One op and dtype."""

    op: str
    dtype: str
    pass_: str
    bytes: int
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Median, by side."""
    copy_share: float = 0.0
    """Of csrc's."""
    tflops: float = 0.0
    """10¹² operations a second of csrc's, of those that must be; 0 where memory bounds the op."""
    failed: dict[str, str] = field(default_factory=dict)
    """Sides that could not run, with the reason."""


class Clock:
    """Milliseconds of a function on a device."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._flush = torch.empty(FLUSH_BYTES if self._cuda else 1, dtype=torch.int8, device=device)

    def __call__(self, function: Callable[[], object]) -> float:
        """One call, with nothing of its inputs in the cache."""
        self._flush.zero_()
        if not self._cuda:
            start = time.perf_counter()
            function()
            return (time.perf_counter() - start) * 1e3
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        function()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)


def copy_bandwidth(device: torch.device, clock: Clock) -> float:
    """Bytes per second of a large copy, read and written ones counted."""
    size = COPY_BYTES if device.type == "cuda" else 1 << 22
    source = torch.empty(size, dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    times = [clock(lambda: target.copy_(source)) for _ in range(12)]
    return 2 * size / (statistics.median(times[2:]) * 1e-3)


def measure(case: Case, clock: Clock, rounds: int, bandwidth: float) -> Row:
    """All sides by turns, after unmeasured rounds in which they compile."""
    row = Row(case.name, case.dtype, case.pass_, case.bytes)
    sides: dict[str, Callable[[], object]] = {}
    for name, side in case.sides().items():
        try:
            for _ in range(3):
                side()
            sides[name] = side
        except Exception as error:
            row.failed[name] = f"{type(error).__name__}: {error}"[:200]
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(clock(side))
    row.milliseconds = {name: round(statistics.median(spent), 4) for name, spent in times.items()}
    if "csrc" in row.milliseconds:
        row.copy_share = round(case.bytes / (row.milliseconds["csrc"] * 1e-3) / bandwidth, 3)
        row.tflops = round(case.flops / (row.milliseconds["csrc"] * 1e-3) / 1e12, 4)
    return row


def show(rows: list[Row], about: dict[str, Any]) -> None:
    """One line per row: times, and how csrc stands to the others."""
    sides = list(dict.fromkeys(name for row in rows for name in row.milliseconds))
    table = Table(title=f"ops at the 7B shapes, {about['gpu']}, copy {about['copy_gb_per_s']:.0f} GB/s")
    for heading in ("op", "dtype", "pass", *(f"{side} ms" for side in sides), "of copy", "TFLOP/s"):
        table.add_column(heading, justify="left" if heading in ("op", "dtype", "pass") else "right")
    for row in rows:
        times = [f"{row.milliseconds[side]:.3f}" if side in row.milliseconds else "–" for side in sides]
        table.add_row(
            row.op, row.dtype, row.pass_, *times, f"{row.copy_share:.0%}", f"{row.tflops:.1f}" if row.tflops else "–"
        )
    Console(width=160).print(table)


def run(tokens: int, rounds: int, device: torch.device, *, small: bool = False) -> dict[str, Any]:
    """Measure every case.

    Args:
        tokens: rows of the activations.
        rounds: measured rounds.
        device: where.
        small: a sixteenth of the 7B model's width and little vocabulary, for tests.
    """
    torch.manual_seed(0)
    sizes = Sizes(tokens=tokens) if not small else Sizes.small(tokens)
    clock = Clock(device)
    bandwidth = copy_bandwidth(device, clock)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    about = {**describe(), "gpu": gpu, "torch": torch.__version__, "kernels": ops.resolved()["rms_norm"],
             "copy_gb_per_s": round(bandwidth / 1e9, 1), "tokens": tokens, "rounds": rounds}  # fmt: skip
    rows = []
    for dtype in (torch.bfloat16, torch.float32):
        products = (functools.partial(one, sizes, dtype, device) for one in (weight_gradient, linear_cross_entropy))
        for make in (*make_cases(sizes, dtype, device), *products):
            rows.append(measure(make(), clock, rounds, bandwidth))
            if device.type == "cuda":
                torch.cuda.empty_cache()
    show(rows, about)
    return {**about, "unit": "ms, median of rounds", "rows": [asdict(row) for row in rows]}


def main() -> None:
    """Measure, print, write results/ops_gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="small sizes, for tests")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = parser.parse_args()
    found = run(given.tokens, given.rounds, torch.device(given.device), small=given.small)
    write_json(given.out / "ops_gpu.json", found)


if __name__ == "__main__":
    main()
