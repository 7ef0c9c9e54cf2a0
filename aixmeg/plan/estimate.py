"""A configuration on a number of GPUs: the four predictions for one layout."""

from __future__ import annotations

from dataclasses import dataclass

from aixmeg.config import Config
from aixmeg.plan.communication import Job, Traffic, traffic
from aixmeg.plan.counts import Flops, Shape, flops_per_token, stage_parameters
from aixmeg.plan.hardware import GIB, Gpu, usable_memory
from aixmeg.plan.layout import Layout
from aixmeg.plan.memory import Memory, peak_memory
from aixmeg.plan.step_time import StepTime, bubble_share, step_time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one layout needs and reaches."""

    layout: Layout
    parameters: list[int]
    """Of one rank of each stage."""
    stage: int
    """The stage whose ranks are fullest, counted from 0."""
    memory: Memory
    """Of that stage's ranks."""
    usable: float
    """Bytes that tensors may take on the GPU."""
    bubble: float
    """Idle over working time of the pipeline."""
    traffic: dict[str, Traffic]
    time: StepTime
    mfu_full: float
    """Share of the BF16 peak, with full attention counted."""
    mfu_causal: float
    """The same with causal attention counted."""

    @property
    def fits(self) -> bool:
        """Whether the fullest rank's tensors fit."""
        return self.memory.total <= self.usable

    @property
    def does_not_fit(self) -> str:
        """The reason, with the largest part."""
        name, size = max(self.memory.parts().items(), key=lambda part: part[1])
        return (
            f"{self.layout.name()}: needs {self.memory.total / GIB:,.1f} GiB on stage {self.stage}, "
            f"{self.usable / GIB:,.1f} are usable; most of it {name} ({size / GIB:,.1f} GiB)"
        )


def job_of(config: Config, layout: Layout) -> Job:
    """What the model of time asks of a configuration."""
    parallel, model = config.parallel, config.model
    return Job(
        shape=Shape.of(model), layout=layout, micro_batches=max(1, layout.micro_batches(config)),
        bf16=config.train.precision == "bf16", fp8=model.fp8 is not None,
        overlap_data_parallel=parallel.overlap_grad_reduce, distributed_optimizer=parallel.use_distributed_optimizer,
        chunked_loss=config.train.cross_entropy_chunk_rows is not None, tuned_attention=model.layer_set == "te",
        parameters_per_rank=max(map(sum, stage_parameters(config, layout))),
        layers_per_rank=max(map(sum, layout.layers(config))),
    )  # fmt: skip


def model_flops(config: Config) -> Flops:
    """Per token."""
    return flops_per_token(Shape.of(config.model))


def estimate(config: Config, layout: Layout, gpu: Gpu) -> Estimate:
    """Predict memory, communication and time of a layout whose sizes are valid."""
    job, flops = job_of(config, layout), model_flops(config)
    stage, memory = peak_memory(config, layout)
    time = step_time(job, gpu)
    return Estimate(
        layout=layout, parameters=[sum(chunks) for chunks in stage_parameters(config, layout)], stage=stage,
        memory=memory, usable=usable_memory(gpu), bubble=bubble_share(job), traffic=traffic(job), time=time,
        mfu_full=time.mfu(flops.full, gpu), mfu_causal=time.mfu(flops.causal, gpu),
    )  # fmt: skip
