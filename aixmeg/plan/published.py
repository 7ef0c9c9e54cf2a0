"""Public 7-8 B runs that the model of time is checked against, and the table of its errors.

Figures are those of ../shared/facts/peers.md at the time of writing, share of 989 TFLOP/s with full attention counted.
What the sources leave out of their set-ups is filled in here, and said. `python -m aixmeg.plan.published docs/plan.md`
writes the table into the page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aixmeg.files import atomic_write
from aixmeg.plan.communication import Job
from aixmeg.plan.counts import Shape, flops_per_token
from aixmeg.plan.hardware import EFFICIENCY, GPUS, Efficiency
from aixmeg.plan.layout import Layout
from aixmeg.plan.step_time import step_time

_WIDTH: dict[str, Any] = {"layers": 32, "hidden": 4096, "heads": 32, "head_size": 128}
LLAMA3_8B = Shape(**_WIDTH, ffn=14_336, groups=8, vocabulary=128_256, sequence=8192)
MPT_7B = Shape(**_WIDTH, ffn=16_384, groups=32, vocabulary=50_432, sequence=2048, tied=True, gated=False)
# 8.86 B is Llama-3-8B's shape with 32 key-value heads and 131,072 pieces: concluded from the count.
NANOTRON = Shape(**_WIDTH, ffn=14_336, groups=32, vocabulary=131_072, sequence=4096)
# 7.0 B of the 7.1 B that are named.
MEGATRON_7B = Shape(**_WIDTH, ffn=16_384, groups=32, vocabulary=131_072, sequence=4096, tied=True, gated=False)
# torchtitan's recipe keeps every second product of a layer (op-wise selective checkpointing).
_HALF_RECOMPUTED: dict[str, Any] = {"recompute": "full", "recompute_method": "block", "recompute_num_layers": 16}


@dataclass(frozen=True, kw_only=True)
class Run:
    """One published figure."""

    name: str
    job: Job
    mfu: float
    """Published share of the H100's BF16 peak, full attention counted."""
    gpu: str = "h100"
    limited: bool = False
    """To 500 W."""
    fitted: str = ""
    """The number of `Efficiency` that was fitted to this run; empty: the run is predicted."""


def _job(shape: Shape, layout: Layout, micro_batches: int, **others: Any) -> Job:
    return Job(
        shape=shape, layout=layout, micro_batches=micro_batches, chunked_loss=False,
        parameters_per_rank=shape.parameters // layout.tp, layers_per_rank=shape.layers, **others,
    )  # fmt: skip


_TITAN_8 = Layout(dp=8, **_HALF_RECOMPUTED)
RUNS = (
    Run(name="Megatron 7.1B, 96 x H100, 4K, BF16", mfu=0.47, fitted="gemm_bf16",
        job=_job(MEGATRON_7B, Layout(tp=2, sp=True, dp=48, micro_batch_size=2), 2, tuned_attention=True)),
    Run(name="nanotron 8.86B, 8 x H100, BF16", mfu=0.452, fitted="gemm_bf16",
        job=_job(NANOTRON, Layout(tp=4, sp=True, dp=2), 8)),
    Run(name="Megatron Llama3-8B, 8 x H100, 8K, FP8", mfu=0.809, fitted="gemm_fp8",
        job=_job(LLAMA3_8B, Layout(dp=8), 16, fp8=True, tuned_attention=True)),
    Run(name="torchtitan 8B, 8 x H100 at 500 W, 8K, BF16", mfu=0.390, fitted="clock_500_watts", limited=True,
        job=_job(LLAMA3_8B, _TITAN_8, 1, fully_sharded=True)),
    Run(name="torchtitan 8B, 8 x H100 at 500 W, 8K, FP8", mfu=0.500, limited=True,
        job=_job(LLAMA3_8B, _TITAN_8, 1, fully_sharded=True, fp8=True)),
    Run(name="torchtitan 8B, 32 x H200, 8K assumed, FP8", mfu=0.641, gpu="h200",
        job=_job(LLAMA3_8B, Layout(dp=32, **_HALF_RECOMPUTED), 1, fully_sharded=True, fp8=True)),
    Run(name="MPT-7B, 8 x H100, 2K, BF16", mfu=0.464,
        job=_job(MPT_7B, Layout(dp=8, micro_batch_size=8), 1, fully_sharded=True)),
    Run(name="Megatron Bridge Llama3-8B, 8 x H100, 8K, FP8", mfu=0.846,
        job=_job(LLAMA3_8B, Layout(dp=8), 16, fp8=True, tuned_attention=True)),
)  # fmt: skip


def predicted_mfu(run: Run, efficiency: Efficiency = EFFICIENCY) -> float:
    """What the model of time says, in the same convention."""
    gpu = GPUS[run.gpu]
    clock = efficiency.clock_500_watts if run.limited else 1.0
    time = step_time(run.job, gpu, clock=clock, efficiency=efficiency)
    return time.mfu(flops_per_token(run.job.shape).full, gpu)


def table() -> str:
    """Markdown."""
    lines = ["| run | published MFU % | predicted % | error % | |", "|---|---|---|---|---|"]
    for run in RUNS:
        found = predicted_mfu(run)
        role = f"fitted: `{run.fitted}`" if run.fitted else "**predicted**"
        lines.append(
            f"| {run.name} | {100 * run.mfu:.1f} | {100 * found:.1f} | {100 * (found / run.mfu - 1):+.1f} | {role} |"
        )
    return "\n".join(lines) + "\n"


BEGIN, END = "<!-- published runs: begin -->\n", "<!-- published runs: end -->\n"


def write(page: Path) -> None:
    """Put the table between the page's two marks."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    with atomic_write(page, "w") as file:
        file.write(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
