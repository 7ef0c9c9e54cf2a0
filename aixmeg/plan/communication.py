"""Bytes that one GPU sends per step, by kind of parallelism, and over which link.

Ranks of a tensor group are neighbours, then context, data, pipeline (megatron-core's order `tp-cp-dp-pp`): a group
whose ranks span more than one node goes over the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aixmeg.plan.counts import Shape
from aixmeg.plan.hardware import GPUS_PER_NODE
from aixmeg.plan.layout import Layout

Link = Literal["NVLink", "network"]
FP32 = 4


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """What one GPU sends for one kind of parallelism."""

    bytes: float
    """Per step."""
    link: Link
    adapters: int
    """Network adapters that the group's ranks in one node share: NCCL cuts a ring into as many."""
    hidden: float
    """Share that compute can hide (`forward_backward` says how much time there is for the data-parallel part)."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the model of time needs of a run, whoever trains it."""

    shape: Shape
    layout: Layout
    micro_batches: int
    bf16: bool = True
    fp8: bool = False
    overlap_data_parallel: bool = True
    distributed_optimizer: bool = True
    fully_sharded: bool = False
    """Weights too are sharded over data-parallel ranks and gathered in both passes (FSDP), in published runs."""
    chunked_loss: bool = True
    tuned_attention: bool = False
    """Transformer Engine's attention instead of torch's."""
    parameters_per_rank: int = 0
    layers_per_rank: int = 0

    @property
    def tokens(self) -> int:
        """Of a micro-batch on one rank."""
        return self.layout.micro_batch_size * self.shape.sequence // self.layout.cp

    @property
    def element(self) -> int:
        """Bytes."""
        return 2 if self.bf16 else FP32


def over(ranks: int, stride: int, *, sent: float, hidden: float) -> Traffic:
    """Traffic of a group of `ranks`, neighbours in it being `stride` apart."""
    inside = ranks * stride <= GPUS_PER_NODE
    return Traffic(
        bytes=sent, link="NVLink" if inside else "network", adapters=max(1, GPUS_PER_NODE // stride), hidden=hidden
    )


def traffic(job: Job) -> dict[str, Traffic]:
    """By kind: tp (or sp), cp, pp, dp; kinds that are not used are left out."""
    found = {}
    layout = job.layout
    if layout.tp > 1:
        hidden = 0.4 if layout.sp else 0.25  # megatron-core hides exchanges of the backward pass behind products
        found["sp" if layout.sp else "tp"] = over(layout.tp, 1, sent=_tensor(job), hidden=hidden)
    if layout.cp > 1:
        found["cp"] = over(layout.cp, layout.tp, sent=_context(job), hidden=0.0)
    if layout.pp > 1:
        stride = layout.tp * layout.cp * layout.dp
        found["pp"] = over(layout.pp, stride, sent=_pipeline(job), hidden=0.5 if layout.vpp else 0.0)
    if layout.dp * layout.cp > 1:
        sent = _data(job)
        found["dp"] = over(layout.dp * layout.cp, layout.tp, sent=sent, hidden=float(job.overlap_data_parallel))
    return found


def _tensor(job: Job) -> float:
    """Two exchanges per layer and pass. With sequence parallelism each is an all-gather and a reduce-scatter, and the
    backward pass gathers the inputs of two products again; an all-reduce sends as much as those two."""
    layout = job.layout
    one = job.tokens * job.shape.hidden * job.element * (layout.tp - 1) / layout.tp  # one gather or scatter
    per_layer = one * (10 if layout.sp else 8)
    if job.fp8 and layout.sp:  # what is gathered for products goes as bytes
        per_layer -= one * 4 / 2
    return job.micro_batches * (job.layers_per_rank * per_layer + 2 * one)  # embedding and loss: one each


def _context(job: Job) -> float:
    """Keys and values are gathered in both passes, their gradients scattered."""
    layout, shape = job.layout, job.shape
    part = job.tokens * 2 * shape.groups * shape.head_size / layout.tp * job.element
    return job.micro_batches * job.layers_per_rank * 3 * part * (layout.cp - 1)


def _pipeline(job: Job) -> float:
    """Every chunk's output and the gradient of its input."""
    layout = job.layout
    boundary = job.tokens * job.shape.hidden * job.element / (layout.tp if layout.sp else 1)
    return job.micro_batches * layout.chunks * 2 * boundary


def _data(job: Job) -> float:
    """Gradients are scattered in fp32 and weights gathered; without a distributed optimizer gradients are
    all-reduced."""
    ranks = job.layout.dp * job.layout.cp
    share = (ranks - 1) / ranks * job.parameters_per_rank
    if job.fully_sharded:
        return share * (2 * job.element + job.element) * job.micro_batches + share * (FP32 - job.element)
    return share * (FP32 + job.element if job.distributed_optimizer else 2 * FP32)
