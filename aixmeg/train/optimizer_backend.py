"""Whose fused optimizer megatron-core uses: ours, NVIDIA apex's, Transformer Engine's, or torch's own.

megatron-core looks for Transformer Engine, then for apex, when it is imported, binds what it finds to names of its
modules and otherwise runs torch's AdamW with a loop over tensors for the gradient norm and clipping. `install` rebinds
those names; nothing is chosen silently, and `aixmeg doctor` shows the choice.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aixmeg.errors import UserError

if TYPE_CHECKING:
    import torch

BACKENDS = ("auto", "aixmeg", "apex", "te", "torch")
_PACKAGES = {"te": "transformer_engine", "apex": "amp_C"}  # "apex" alone may be another project of that name
_REMEDIES = {
    "te": "install it (pip install 'aixmeg[te]')",
    "apex": "build NVIDIA apex with --cpp_ext --cuda_ext",
}


def resolve(asked: str) -> str:
    """The backend that `asked` means on this machine, without importing any: "auto" is te, apex or aixmeg.

    Raises:
        UserError: an unknown name, or one whose package is not installed.
    """
    if asked not in BACKENDS:
        raise UserError(f"optimizer.backend={asked} is none of {', '.join(BACKENDS)}")
    installed = [name for name, package in _PACKAGES.items() if importlib.util.find_spec(package) is not None]
    if asked == "auto":
        return installed[0] if installed else "aixmeg"
    if asked in _PACKAGES and asked not in installed:
        raise UserError(
            f"optimizer.backend={asked} needs the package {_PACKAGES[asked]}, which is not installed; "
            f"{_REMEDIES[asked]}, or choose auto, aixmeg or torch"
        )
    return asked


@dataclass(frozen=True)
class _Names:
    """What megatron-core's modules bind."""

    name: str
    adam: Any
    applier: Callable[..., Any]
    l2_norm: Callable[..., Any]
    scale: Callable[..., Any]


def install(asked: str) -> str:
    """Make megatron-core's optimizers of this process use that backend, from now on; its name.

    Raises:
        UserError: see `resolve`; or the package is installed but megatron-core could not import it, or our kernels are
            not built.
    """
    name = resolve(asked)
    original = _original()
    if name == "aixmeg":
        names = _ours()
    elif name == "torch":
        names = _torch()
    elif name == original.name:
        names = original
    elif name == "apex":
        names = _apex()
    else:
        raise UserError(
            f"optimizer.backend={asked}: {_PACKAGES[name]} is installed, but megatron-core could not import its "
            "FusedAdam; mend the installation, or choose aixmeg"
        )
    _bind(names)
    return name


def hold_moments(settings: Any, exp_avg: torch.dtype, exp_avg_sq: torch.dtype) -> None:
    """Change megatron-core's OptimizerConfig to moments of these dtypes; with our backend, after `install`.

    megatron-core calls it the precision-aware optimizer: FusedAdam holds the fp32 master weights and writes those
    of the model. Its constructor insists on Transformer Engine's, so the fields are set afterwards.
    """
    settings.use_precision_aware_optimizer = settings.use_precision_aware_optimizer_no_fp8_or_ds_fp8 = True
    settings.exp_avg_dtype, settings.exp_avg_sq_dtype = exp_avg, exp_avg_sq
    settings.store_param_remainders = False


def installed() -> str:
    """The backend that megatron-core's optimizers of this process use now."""
    from megatron.core import optimizer
    from megatron.core.optimizer import distrib_optimizer

    if optimizer.USING_PYTORCH_OPTIMIZER:
        return "torch"
    if distrib_optimizer.USING_TE_OPTIMIZER:
        return "te"
    return "aixmeg" if optimizer.Adam.__module__.startswith("aixmeg.") else "apex"


@functools.cache  # what megatron-core found by itself, before anything was rebound
def _original() -> _Names:
    from megatron.core import optimizer
    from megatron.core.optimizer import clip_grads

    return _Names(
        installed(), optimizer.Adam, clip_grads.multi_tensor_applier, clip_grads.l2_norm_impl,
        clip_grads.multi_tensor_scale_impl,
    )  # fmt: skip


def _ours() -> _Names:
    from aixmeg import ops
    from aixmeg.train import fused_adam

    ops.load()
    return _Names(
        "aixmeg", fused_adam.FusedAdam, fused_adam.multi_tensor_applier, fused_adam.multi_tensor_l2norm,
        fused_adam.multi_tensor_scale,
    )  # fmt: skip


def _torch() -> _Names:
    import torch
    from megatron.core import utils

    return _Names(
        "torch", torch.optim.AdamW, utils.local_multi_tensor_applier, utils.local_multi_tensor_l2_norm,
        utils.local_multi_tensor_scale,
    )  # fmt: skip


def _apex() -> _Names:
    """apex where megatron-core has preferred Transformer Engine."""
    try:
        kernels, apply = importlib.import_module("amp_C"), importlib.import_module("apex.multi_tensor_apply")
        adam = importlib.import_module("apex.optimizers").FusedAdam
    except ImportError as error:
        raise UserError(f"optimizer.backend=apex: apex does not import ({error}); mend it, or choose aixmeg") from error
    return _Names(
        "apex", adam, apply.multi_tensor_applier, kernels.multi_tensor_l2norm, kernels.multi_tensor_scale
    )  # fmt: skip


def _bind(names: _Names) -> None:
    from megatron.core import optimizer as core
    from megatron.core import utils
    from megatron.core.optimizer import clip_grads, distrib_optimizer
    from megatron.core.optimizer import optimizer as wrappers

    core.Adam = distrib_optimizer.Adam = names.adam
    core.USING_PYTORCH_OPTIMIZER = names.name == "torch"
    distrib_optimizer.HAVE_APEX_OR_TE = names.name != "torch"
    distrib_optimizer.USING_TE_OPTIMIZER = names.name == "te"
    # Ours counts steps as apex does, in the parameter groups; the distributed optimizer asks for that.
    distrib_optimizer.USING_APEX_OPTIMIZER = names.name in ("apex", "aixmeg")
    clip_grads.multi_tensor_applier = wrappers.multi_tensor_applier = names.applier
    clip_grads.multi_tensor_scale_impl = wrappers.multi_tensor_scale_impl = names.scale
    clip_grads.l2_norm_impl = names.l2_norm
    if utils.get_te_version() is None:  # where it compares None with a version, which raises
        core.is_te_min_version = lambda *_, **__: False
