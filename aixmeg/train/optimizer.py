"""megatron-core's optimizer from our configuration, and the values that change while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from megatron.core.distributed import DistributedDataParallel
from megatron.core.optimizer import OptimizerConfig as MegatronOptimizerConfig
from megatron.core.optimizer import get_megatron_optimizer

from aixmeg.config import Config, OptimizerConfig
from aixmeg.errors import UserError
from aixmeg.train import optimizer_backend

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def build_optimizer(config: Config, models: Sequence[DistributedDataParallel]) -> Any:
    """AdamW with fp32 master weights, sharded over data-parallel ranks when the configuration says so; collective.

    Raises:
        UserError: the chosen backend is not installed, or does not hold bf16 moments.
    """
    options, bf16 = config.optimizer, config.train.precision == "bf16"
    backend = optimizer_backend.install(options.backend)
    settings = MegatronOptimizerConfig(
        optimizer="adam",
        lr=options.lr,
        min_lr=options.min_lr,
        weight_decay=options.weight_decay,
        adam_beta1=options.adam_beta1,
        adam_beta2=options.adam_beta2,
        adam_eps=options.adam_eps,
        clip_grad=options.clip_grad,
        bf16=bf16,
        params_dtype=torch.bfloat16 if bf16 else torch.float32,
        use_distributed_optimizer=config.parallel.use_distributed_optimizer,
        overlap_param_gather=config.parallel.overlap_param_gather,
    )
    moments = (options.exp_avg_dtype, options.exp_avg_sq_dtype)
    if "bf16" in moments:
        if backend != "aixmeg":
            raise UserError(
                f"optimizer.exp_avg_dtype={moments[0]}, exp_avg_sq_dtype={moments[1]} need optimizer.backend=aixmeg; "
                f"it is {backend} here"
            )
        optimizer_backend.hold_moments(settings, *(_DTYPES[name] for name in moments))
    return get_megatron_optimizer(settings, list(models))


def set_hyperparameters(optimizer: Any, options: OptimizerConfig, *, lr: float) -> None:
    """Give every parameter group its learning rate and weight decay before a step.

    megatron-core marks norm weights with `wd_mult` 0 and leaves it to the training loop to apply it. A loaded
    checkpoint brings the values that it was saved with, so all of them are set, not the learning rate alone.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_mult", 1.0)
        group["weight_decay"] = options.weight_decay * group.get("wd_mult", 1.0)
        group["betas"] = (options.adam_beta1, options.adam_beta2)
        group["eps"] = options.adam_eps
