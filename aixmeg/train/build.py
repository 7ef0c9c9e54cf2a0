"""From a configuration and a topology to everything that the loop works on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads

from aixmeg.config import Config
from aixmeg.model.builder import CodeModel, build_model
from aixmeg.model.flash import require_backend
from aixmeg.model.fp8_scaling import with_scale_update
from aixmeg.parallel import one_rank
from aixmeg.parallel.topology import Topology
from aixmeg.train.optimizer import build_optimizer


@dataclass(frozen=True, kw_only=True)
class Training:
    """One rank's part of the model in training."""

    config: Config
    topology: Topology
    device: torch.device
    models: list[CodeModel]
    """Bare model chunks, one per virtual pipeline stage."""
    wrapped: list[DistributedDataParallel]
    """The same chunks with gradient buffers and their reduction."""
    optimizer: Any


def build_training(config: Config, topology: Topology, device: torch.device) -> Training:
    """Build the model's chunks, their data-parallel wrappers and the optimizer; collective.

    Raises:
        UserError: the configuration asks for what this device or installation has not.
    """
    require_backend(config, device)
    one_rank.install()
    parallel = config.parallel
    models = build_model(config, topology, device=device)
    reduction = DistributedDataParallelConfig(
        grad_reduce_in_fp32=True,
        overlap_grad_reduce=parallel.overlap_grad_reduce,
        overlap_param_gather=parallel.overlap_param_gather,
        use_distributed_optimizer=parallel.use_distributed_optimizer,
    )
    wrapped = [
        # As in Megatron-LM, later chunks are not cut into buckets: their gradients are ready together.
        DistributedDataParallel(model.config, reduction, model, disable_bucketing=index > 0)
        for index, model in enumerate(models)
    ]
    optimizer = build_optimizer(config, wrapped)
    _connect(wrapped, optimizer, parallel.overlap_grad_reduce, parallel.overlap_param_gather)
    for model in wrapped:  # after each step's gradients, delayed FP8 scaling takes in the step's largest magnitudes
        model.config.finalize_model_grads_func = with_scale_update(
            model.config.finalize_model_grads_func, topology.groups.tp_dp_cp
        )
    return Training(
        config=config, topology=topology, device=device, models=models, wrapped=wrapped, optimizer=optimizer
    )


def _connect(
    wrapped: list[DistributedDataParallel], optimizer: Any, overlap_grad_reduce: bool, overlap_param_gather: bool
) -> None:
    """Tell the pipeline schedules how to reduce gradients; they read it from the model's configuration."""
    for model in wrapped:
        model.config.finalize_model_grads_func = finalize_model_grads
        model.config.grad_scale_func = optimizer.scale_loss
    if overlap_grad_reduce:
        wrapped[0].config.no_sync_func = _one_or_all([model.no_sync for model in wrapped])
    if overlap_param_gather:
        wrapped[0].config.param_sync_func = _one_or_all([model.start_param_sync for model in wrapped])


def _one_or_all(functions: list[Any]) -> Any:
    """The interleaved schedule takes a list with one entry per chunk, the others a bare function."""
    return functions[0] if len(functions) == 1 else functions


@contextlib.contextmanager
def whole_parameters(training: Training) -> Iterator[None]:
    """Inside, every rank holds the updated weights; with overlap_param_gather they otherwise arrive layer by layer."""
    waiting = [model for model in training.wrapped if model.use_forward_hook]
    for model in waiting:
        model.disable_forward_pre_hook(param_sync=True)
    try:
        yield
    finally:
        for model in waiting:
            model.enable_forward_pre_hook()
