"""The optimizer over lists of tensors: a step of AdamW, the L2 norm, scaling with an overflow check.

One call handles every parameter of a group, so that the price of a call does not multiply by their number. The tensors
of a list share one dtype and device; what is written in place must be contiguous, empty tensors are skipped. Results
depend on neither the number of threads nor the run.
Source: decoupled weight decay is arXiv:1711.05101; names are those of apex's `amp_C`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from aixmeg.errors import UserError
from aixmeg.ops import library

Tensors = Sequence[Tensor]


def reference_adamw(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: int,
    bias_correction: bool = True,
    decoupled: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """The definition in plain torch, in the tensors' dtype: the new parameter, first and second moment."""
    beta1, beta2 = betas
    correction1, correction2 = (1 - beta1**step, 1 - beta2**step) if bias_correction else (1.0, 1.0)
    if not decoupled:
        grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad.square()
    shrunk = (1 - lr * weight_decay) * param if decoupled else param
    return shrunk - lr / correction1 * exp_avg / ((exp_avg_sq / correction2).sqrt() + eps), exp_avg, exp_avg_sq


def multi_tensor_adamw(
    params: Tensors,
    grads: Tensors,
    exp_avgs: Tensors,
    exp_avg_sqs: Tensors,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    step: int,
    bias_correction: bool = True,
    decoupled: bool = True,
    copies: Tensors = (),
) -> None:
    """One step of AdamW for every parameter, in place; computed in float32, each state rounded once.

    Args:
        params: float32 (master) weights of any shapes.
        grads: float32 or bfloat16, the shapes of the parameters, any strides.
        exp_avgs: first moments, float32 or bfloat16.
        exp_avg_sqs: second moments, float32 or bfloat16. In bfloat16 a moment stops moving once a step changes it by
            less than 1/512 of itself, which with beta2 above 0.998 is soon.
        lr: learning rate.
        betas: decay of the two moments, each in [0, 1).
        eps: added to the root of the corrected second moment.
        weight_decay: for all of these parameters; give those of another decay in another call.
        step: number of this step, from 1.
        bias_correction: divide the moments by 1 - beta^step.
        decoupled: shrink the parameters (AdamW); False adds the decay to the gradient (Adam with L2).
        copies: empty, or one bfloat16 tensor for each parameter that receives its rounded new value.

    Raises:
        UserError: lengths, shapes, dtypes, devices or options do not fit, or the extension is not built.
    """
    name = "multi_tensor_adamw"
    lists = {"params": params, "grads": grads, "exp_avgs": exp_avgs, "exp_avg_sqs": exp_avg_sqs}
    _check_lists(name, {**lists, "copies": copies} if copies else lists)
    _check_written(name, params=params, exp_avgs=exp_avgs, exp_avg_sqs=exp_avg_sqs, copies=copies)
    _check_dtype(name, "params", params, torch.float32)
    _check_dtype(name, "copies", copies, torch.bfloat16)
    if step < 1 or not all(0.0 <= beta < 1.0 for beta in betas):
        raise UserError(f"{name}: step={step} must be 1 or more, betas={betas} each in [0, 1)")
    if not params:
        return
    torch.ops.aixmeg.multi_tensor_adamw(
        list(params), list(grads), list(exp_avgs), list(exp_avg_sqs), list(copies), lr, *betas, eps, weight_decay,
        step, bias_correction, decoupled,
    )  # fmt: skip
    _written(*params, *exp_avgs, *exp_avg_sqs, *copies)


def multi_tensor_l2_norm(tensors: Tensors, *, per_tensor: bool = False) -> tuple[Tensor, Tensor]:
    """Root of the sum of squares.

    Args:
        tensors: float32 or bfloat16, any shapes and strides. A value beyond 1.8e19, whose square is no float32, makes
            the norm infinite.
        per_tensor: also return the norm of each.

    Returns:
        The norm of all together, [1] float32, and of each, [n] float32, or [0] where it was not asked for.

    Raises:
        UserError: dtypes or devices do not fit, or the extension is not built.
    """
    _check_lists("multi_tensor_l2_norm", {"tensors": tensors})
    if not tensors:
        return torch.zeros(1), torch.zeros(0)
    return torch.ops.aixmeg.multi_tensor_l2_norm(list(tensors), per_tensor)


def multi_tensor_scale(sources: Tensors, targets: Tensors, scale: float, found_inf: Tensor) -> None:
    """targets = sources · scale, rounded once, with an overflow check.

    Args:
        sources: float32 or bfloat16, any strides.
        targets: float32 or bfloat16, the shapes of the sources; may be the sources themselves.
        scale: a factor.
        found_inf: [1] int32; becomes 1 where a result is infinite or NaN, is otherwise left as it is.

    Raises:
        UserError: lengths, shapes, dtypes or devices do not fit, or the extension is not built.
    """
    name = "multi_tensor_scale"
    _check_lists(name, {"sources": sources, "targets": targets})
    _check_written(name, targets=targets)
    if found_inf.dtype != torch.int32 or found_inf.numel() != 1:
        raise UserError(f"{name}: found_inf is {found_inf.dtype} {list(found_inf.shape)}; it must be one torch.int32")
    if not sources:
        return
    if found_inf.device != sources[0].device:
        raise UserError(f"{name}: found_inf is on {found_inf.device}, the tensors on {sources[0].device}")
    torch.ops.aixmeg.multi_tensor_scale(list(sources), list(targets), found_inf, scale)
    _written(*targets, found_inf)


def _check_lists(op: str, lists: dict[str, Tensors]) -> None:
    """Equal lengths and shapes, one device, kernels for every dtype, and one dtype in each list."""
    library.load()
    first_name, first = next(iter(lists.items()))
    for name, tensors in lists.items():
        if len(tensors) != len(first):
            raise UserError(f"{op}: {name} has {len(tensors)} tensors, {first_name} {len(first)}; give one for each")
        for i, tensor in enumerate(tensors):
            library.check_kernel_input(op, f"{name}[{i}]", tensor)
            if tensor.shape != first[i].shape:
                raise UserError(
                    f"{op}: {name}[{i}] has shape {list(tensor.shape)}, {first_name}[{i}] {list(first[i].shape)}; "
                    "they must be equal"
                )
            if tensor.dtype != tensors[0].dtype or tensor.device != first[0].device:
                raise UserError(
                    f"{op}: {name}[{i}] is {tensor.dtype} on {tensor.device}, {name}[0] {tensors[0].dtype}, "
                    f"{first_name}[0] on {first[0].device}; give tensors of other kinds in another call"
                )


def _check_written(op: str, **lists: Tensors) -> None:
    for name, tensors in lists.items():
        for i, tensor in enumerate(tensors):
            if not tensor.is_contiguous():
                raise UserError(
                    f"{op}: {name}[{i}] of shape {list(tensor.shape)} has strides {list(tensor.stride())}; what is "
                    "written in place must be contiguous"
                )


def _check_dtype(op: str, name: str, tensors: Tensors, dtype: torch.dtype) -> None:
    if tensors and tensors[0].dtype != dtype:
        raise UserError(f"{op}: {name} are {tensors[0].dtype}; they must be {dtype}")


def _written(*tensors: Tensor) -> None:
    """Tell autograd, as torch's own in-place ops do, so that a backward pass that saved an old value is an error."""
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(tensors)


def _fake_in_place(*_: object) -> None:
    return None


def _fake_l2_norm(tensors: Tensors, per_tensor: bool) -> tuple[Tensor, Tensor]:
    like = tensors[0]
    count = len(tensors) if per_tensor else 0
    return like.new_empty((1,), dtype=torch.float32), like.new_empty((count,), dtype=torch.float32)


def _register(names: Iterable[str]) -> None:
    for name in names:
        torch.library.register_fake(f"aixmeg::{name}", _fake_in_place)


if library.is_loaded():
    _register(("multi_tensor_adamw", "multi_tensor_scale"))
    torch.library.register_fake("aixmeg::multi_tensor_l2_norm", _fake_l2_norm)
