"""Seconds of one optimizer step: products, attention, memory-bound operations, exposed communication, bubble.

Every part is a size over a rate; rates are a datasheet figure times one number of `hardware.Efficiency`. The parts of
one rank of the slowest stage are added up: nothing overlaps but the communication that `communication.Traffic` calls
hidden.
"""

from __future__ import annotations

from dataclasses import dataclass

from aixmeg.plan.communication import Job, Traffic, traffic
from aixmeg.plan.hardware import EFFICIENCY, Efficiency, Gpu


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds of one step of the slowest rank, by part, and what follows from their sum."""

    products: float
    attention: float
    memory_bound: float
    """Norms, rotary embedding, SwiGLU, residual additions, casts to FP8."""
    optimizer: float
    communication: dict[str, float]
    """Exposed seconds by kind."""
    bubble: float
    """Waiting of the pipeline."""
    overhead: float
    tokens: int
    """Of the whole step, on all GPUs."""
    gpus: int

    @property
    def seconds(self) -> float:
        """The whole step."""
        busy = self.products + self.attention + self.memory_bound + self.optimizer
        return busy + sum(self.communication.values()) + self.bubble + self.overhead

    @property
    def tokens_per_second(self) -> float:
        """Per GPU."""
        return self.tokens / self.seconds / self.gpus

    def mfu(self, flops: float, gpu: Gpu) -> float:
        """Share of the BF16 peak, for FLOPs per token of either convention."""
        return self.tokens_per_second * flops / gpu.bf16


def bubble_share(job: Job) -> float:
    """Idle time of the pipeline over its working time: (pp - 1) / (micro-batches x chunks)."""
    return (job.layout.pp - 1) / (job.micro_batches * job.layout.chunks)


def step_time(job: Job, gpu: Gpu, *, clock: float = 1.0, efficiency: Efficiency = EFFICIENCY) -> StepTime:
    """Predict one step.

    Args:
        clock: share of the tensor cores' peak that a power limit leaves, 1 for none.
    """
    gpu_rate = _Rates(gpu, clock, efficiency)
    products, attention = _products(job, gpu_rate), _attention(job, gpu_rate)
    memory_bound = _memory_bound(job, gpu_rate)
    passes = products + attention + memory_bound
    links = traffic(job)
    exposed = {kind: _exposed(kind, one, job, gpu_rate, passes) for kind, one in links.items()}
    in_passes = passes + sum(seconds for kind, seconds in exposed.items() if kind != "dp")
    bubble = in_passes * bubble_share(job)
    shared = job.layout.dp * job.layout.cp if job.distributed_optimizer or job.fully_sharded else 1
    optimizer = job.parameters_per_rank * (_OPTIMIZER_BYTES / shared + 8) / gpu_rate.memory
    together = passes + optimizer + sum(exposed.values()) + bubble
    return StepTime(
        products=products, attention=attention, memory_bound=memory_bound, optimizer=optimizer, communication=exposed,
        bubble=bubble, overhead=together * efficiency.overhead / (1 - efficiency.overhead),
        tokens=job.tokens * job.layout.cp * job.micro_batches * job.layout.dp, gpus=job.layout.gpus,
    )  # fmt: skip


_OPTIMIZER_BYTES = 30
"""Per parameter: gradient, two moments and master weight read, three of them and the bf16 weight written."""


class _Rates:
    """What a GPU reaches."""

    def __init__(self, gpu: Gpu, clock: float, efficiency: Efficiency) -> None:
        self.gpu, self.clock, self.efficiency = gpu, clock, efficiency
        self.memory = gpu.memory_bandwidth * efficiency.memory

    def product(self, smallest: float, *, fp8: bool) -> float:
        """FLOP/s of a matrix product by its smallest size."""
        e = self.efficiency
        shape = smallest / (smallest + e.narrow) * (4096 + e.narrow) / 4096
        peak = self.gpu.fp8 * e.gemm_fp8 if fp8 else self.gpu.bf16 * e.gemm_bf16
        return peak * self.clock * min(shape, 1.0)

    def attention(self, tuned: bool) -> float:
        """FLOP/s of causal attention."""
        e = self.efficiency
        if self.gpu.attention == "ampere":
            return self.gpu.bf16 * self.clock * e.attention_ampere
        return self.gpu.bf16 * self.clock * (e.attention_hopper_tuned if tuned else e.attention_hopper)

    def link(self, one: Traffic) -> float:
        """Bytes per second of collectives."""
        across = min(self.gpu.nvlink, self.gpu.network * one.adapters)
        return (self.gpu.nvlink if one.link == "NVLink" else across) * self.efficiency.link


def _forwards(job: Job) -> float:
    """Passes in units of a forward pass: backward counts two, recomputation one more of what it makes again."""
    layout = job.layout
    if layout.recompute != "full":
        return 3.0
    chunk = max(1, job.layers_per_rank // layout.chunks)
    again = min(1.0, layout.recompute_num_layers / chunk) if layout.recompute_method == "block" else 1.0
    return 3.0 + again


def _products(job: Job, rate: _Rates) -> float:
    """Layers, and the output layer as if every stage had an equal share of it."""
    shape, layout, tokens = job.shape, job.layout, job.tokens
    h, tp = shape.hidden, layout.tp
    sizes = [(h, shape.qkv_width / tp), (shape.query_width / tp, h), (h, shape.fc1_width / tp), (shape.ffn / tp, h)]
    layer = sum(2 * tokens * a * b / rate.product(min(a, b, tokens), fp8=job.fp8) for a, b in sizes)
    head = 2 * tokens * shape.embedding / tp / rate.product(min(h, shape.vocabulary / tp), fp8=False)
    passes = 4.0 if job.chunked_loss else 3.0
    # The stage with the output layer is the slowest, and the others wait for it.
    return job.micro_batches * (job.layers_per_rank * layer * _forwards(job) + head * passes)


def _attention(job: Job, rate: _Rates) -> float:
    """The causal half of the square, 3.5 forward passes in all: the backward one makes the scores again."""
    shape, layout = job.shape, job.layout
    forward = 2 * job.tokens * shape.sequence * shape.query_width / layout.tp
    passes = 3.5 + (_forwards(job) - 3.0 if layout.recompute == "full" else float(layout.recompute == "selective"))
    return job.micro_batches * job.layers_per_rank * forward * passes / rate.attention(job.tuned_attention)


def _memory_bound(job: Job, rate: _Rates) -> float:
    """Bytes read and written: forward 9 h around norms and residuals, 2 of rotary's operands, 3 of SwiGLU's output;
    backward twice that."""
    shape, layout = job.shape, job.layout
    whole = 9 * shape.hidden / (layout.tp if layout.sp else 1)
    cut = (2 * shape.qkv_width + shape.fc1_width + shape.ffn) / layout.tp
    per_token = (whole + cut) * job.element * _forwards(job)
    if job.fp8:
        inputs = 2 * shape.hidden + (shape.query_width + shape.ffn) / layout.tp
        per_token += 2 * inputs * job.element * rate.efficiency.fp8_quantise
    logits = shape.vocabulary / layout.tp * job.element * 6
    return job.micro_batches * job.tokens * (job.layers_per_rank * per_token + logits) / rate.memory


def _exposed(kind: str, one: Traffic, job: Job, rate: _Rates, passes: float) -> float:
    """Seconds that nothing hides. Data-parallel exchanges run beside the first micro-batch's forward pass and the last
    one's backward pass (beside all of them where weights are sharded too)."""
    seconds = one.bytes / rate.link(one)
    if kind != "dp":
        return seconds * (1 - one.hidden)
    room = one.hidden * passes * (1.0 if job.fully_sharded else 1 / job.micro_batches)
    return max(0.0, seconds - room) + 0.05 * seconds
