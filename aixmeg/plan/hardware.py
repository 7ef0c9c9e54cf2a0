"""GPUs that `aixmeg plan` knows, with the source of every figure, and what share of them training reaches.

Figures are dense (without sparsity) and per GPU; bandwidths of links are per direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GIB = 1024**3
GPUS_PER_NODE = 8
"""DGX and HGX boards of all these GPUs."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU in a DGX or HGX node."""

    name: str
    memory: float
    """Bytes."""
    bf16: float
    """FLOP/s of the tensor cores in BF16; the denominator of every MFU here, FP8 runs included."""
    fp8: float
    """FLOP/s of the tensor cores in FP8; 0 where there are none."""
    memory_bandwidth: float
    """Bytes per second."""
    nvlink: float
    """Bytes per second to the other GPUs of the node."""
    network: float
    """Bytes per second to other nodes: one network adapter per GPU."""
    attention: Literal["ampere", "hopper"]
    """Whose share of the peak fused attention reaches (`Efficiency`)."""
    source: str


GPUS: dict[str, Gpu] = {
    "a100-40": Gpu(
        name="A100 SXM4 40 GB", memory=40 * GIB, bf16=312e12, fp8=0.0, memory_bandwidth=1.555e12, nvlink=300e9,
        network=25e9, attention="ampere",
        source="NVIDIA A100 datasheet (40 GB SXM, NVLink 600 GB/s both ways); DGX A100 datasheet (8 x 200 Gb/s)",
    ),
    "a100": Gpu(
        name="A100 SXM4 80 GB", memory=80 * GIB, bf16=312e12, fp8=0.0, memory_bandwidth=2.039e12, nvlink=300e9,
        network=25e9, attention="ampere",
        source="NVIDIA A100 datasheet (80 GB SXM, NVLink 600 GB/s both ways); DGX A100 datasheet (8 x 200 Gb/s)",
    ),
    "h100": Gpu(
        name="H100 SXM5 80 GB", memory=80 * GIB, bf16=989e12, fp8=1979e12, memory_bandwidth=3.35e12, nvlink=450e9,
        network=50e9, attention="hopper",
        source="NVIDIA H100 datasheet (SXM; half of the figures with sparsity); DGX H100 datasheet (8 x 400 Gb/s)",
    ),
    "h200": Gpu(
        name="H200 SXM5 141 GB", memory=140 * GIB, bf16=989e12, fp8=1979e12, memory_bandwidth=4.8e12, nvlink=450e9,
        network=50e9, attention="hopper",
        source="NVIDIA H200 datasheet (SXM; half of the figures with sparsity); DGX H200 datasheet (8 x 400 Gb/s)",
    ),
    "b200": Gpu(
        name="B200 180 GB", memory=178 * GIB, bf16=2250e12, fp8=4500e12, memory_bandwidth=8e12, nvlink=900e9,
        network=50e9, attention="hopper",
        source="NVIDIA DGX B200 datasheet (an eighth of the node: 72 PFLOP/s FP8 with sparsity, 1,440 GB, 64 TB/s, "
        "NVLink 14.4 TB/s both ways, 8 x 400 Gb/s)",
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """What training reaches of the datasheets' figures: every free number of the time model.

    `docs/plan.md` shows what they predict of published runs, and which of these runs they were fitted to.
    """

    gemm_bf16: float = 0.58
    """Of the peak, in BF16 products of width 4096 within a training step. Fitted to two published BF16 runs
    (`published.py`). A benchmark of products alone reaches 0.72: Transformer Engine's, 599 of the H200 NVL's 835."""
    gemm_fp8: float = 0.54
    """Of the FP8 peak, likewise. Fitted to one published FP8 run."""
    narrow: float = 128.0
    """A product whose smallest size is d reaches d / (d + narrow) of that, relative to 4096. Assumed."""
    attention_ampere: float = 0.55
    """Of the peak, in fused causal attention forward and backward: FlashAttention-2 on an A100 (arXiv 2307.08691)."""
    attention_hopper: float = 0.35
    """The same kernels on an H100: FlashAttention-2 reaches 35 % (arXiv 2407.08608). torch's SDPA has these."""
    attention_hopper_tuned: float = 0.55
    """Transformer Engine's attention on Hopper: near FlashAttention-3's backward rate (arXiv 2407.08608)."""
    memory: float = 0.80
    """Of the memory's bandwidth, in norms, rotary embedding, SwiGLU, residuals, optimizer. Assumed."""
    link: float = 0.75
    """Of a link's bandwidth, in NCCL collectives of large messages. Assumed."""
    overhead: float = 0.05
    """Share of a step for what the model leaves out: launches, synchronisation, data, clocks."""
    fp8_quantise: float = 1.0
    """Casts of a product's input to FP8, in units of one read and one write of it in BF16. Assumed."""
    clock_500_watts: float = 0.90
    """Of the peak, for an H100 limited to 500 instead of 700 W. Fitted to one published run."""


EFFICIENCY = Efficiency()

CONTEXT_BYTES = 1.5 * GIB
"""CUDA context, cuBLAS workspaces and NCCL's channels, which no tensor shows. Assumed."""
FRAGMENTATION = 0.05
"""Share of the memory that the caching allocator cannot hand out. Assumed."""


def usable_memory(gpu: Gpu) -> float:
    """Bytes that tensors may take."""
    return gpu.memory * (1 - FRAGMENTATION) - CONTEXT_BYTES
