"""The cases of ops_gpu.py: each op with its inputs, what others would run instead, and the bytes that must move."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aixmeg import ops
from aixmeg.ops import optimizer as optimizer_ops

EPS = 1e-5
E4M3 = torch.float8_e4m3fn


@dataclass(frozen=True)
class Sizes:
    """Of the aiXcoder-7B architecture, for one sequence."""

    tokens: int
    hidden: int = 4096
    feed_forward: int = 14464
    heads: int = 32
    groups: int = 8
    head_size: int = 128
    vocabulary: int = 49152
    parameters: int = 218_000_000
    """Of one layer: what an optimizer step is measured on."""

    @classmethod
    def small(cls, tokens: int) -> Sizes:
        """For tests."""
        return cls(tokens, hidden=256, feed_forward=904, heads=8, groups=2, head_size=32, vocabulary=512,
                   parameters=10_000)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One op on its inputs."""

    name: str
    dtype: str
    pass_: str
    """`forward` or `forward + backward`."""
    bytes: int
    """Least traffic with memory."""
    csrc: Callable[[], object]
    eager: Callable[[], object]
    others: dict[str, Callable[[], object]]
    flops: int = 0
    """Least operations where arithmetic bounds the op; 0 where memory does."""

    def sides(self) -> dict[str, Callable[[], object]]:
        """By name; compiled anew, since shapes differ from case to case."""
        torch.compiler.reset()
        return {"csrc": self.csrc, "eager": self.eager, "compile": torch.compile(self.eager), **self.others}


def make_cases(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Iterator[Callable[[], Case]]:
    """Functions that make a case bound by memory, so that only one has its tensors at a time."""
    made = (rms_norm, add_rms_norm, swiglu, rotary_qkv, cross_entropy, adamw, l2_norm, quantize, quantize_transpose,
            swiglu_fp8)  # fmt: skip
    for one in made:
        yield functools.partial(one, sizes, dtype, device)


class Made:
    """Leaves of one dtype on one device, and what runs a function with its gradients."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype, self.device, self.leaves = dtype, device, []
        self.size = dtype.itemsize
        self.name = str(dtype).removeprefix("torch.")

    def leaf(self, *shape: int) -> Tensor:
        """Random numbers that get a gradient."""
        made = torch.randn(*shape, dtype=self.dtype, device=self.device, requires_grad=True)
        self.leaves.append(made)
        return made

    def both(self, function: Callable[[], Any]) -> Callable[[], object]:
        """Forward and backward; the gradients of the results are ones."""
        leaves = list(self.leaves)

        def run() -> object:
            out = function()
            results = out if isinstance(out, tuple) else (out,)
            return torch.autograd.grad(results, leaves, [torch.ones_like(one) for one in results])

        return run

    def case(
        self, name: str, size: float, csrc: Callable[[], Any], eager: Callable[[], Any], flops: int = 0, **others: Any
    ) -> Case:
        """A case of forward and backward; `size` counts elements that must move."""
        found = {side: self.both(make) for side, make in others.items() if make is not None}
        return Case(name, self.name, "forward + backward", int(size * self.size), self.both(csrc), self.both(eager),
                    found, flops)  # fmt: skip


def try_import(module: str, name: str) -> Any:
    """An attribute of a module that may not be installed."""
    try:
        return getattr(importlib.import_module(module), name)
    except Exception:
        return None


def rms_norm(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Forward reads x and writes y; backward reads both gradients' inputs and writes dx."""
    made = Made(dtype, device)
    x, weight = made.leaf(sizes.tokens, sizes.hidden), made.leaf(sizes.hidden)
    liger = try_import("liger_kernel.ops.rms_norm", "LigerRMSNormFunction")
    apex = try_import("apex.normalization.fused_layer_norm", "fused_rms_norm_affine")
    return made.case(
        "rms_norm", 5 * x.numel(), lambda: ops.rms_norm(x, weight, EPS),
        lambda: F.rms_norm(x, (sizes.hidden,), weight, EPS),
        liger=liger and (lambda: liger.apply(x, weight, EPS)),
        apex=apex and (lambda: apex(x, weight, (sizes.hidden,), EPS)),
    )  # fmt: skip


def add_rms_norm(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Both passes read two and write two tensors; the sum's own gradient is one more of the backward's."""
    made = Made(dtype, device)
    x, residual = made.leaf(sizes.tokens, sizes.hidden), made.leaf(sizes.tokens, sizes.hidden)
    weight = made.leaf(sizes.hidden)

    def eager() -> tuple[Tensor, Tensor]:
        total = x + residual
        return F.rms_norm(total, (sizes.hidden,), weight, EPS), total

    return made.case("add_rms_norm", 8 * x.numel(), lambda: ops.add_rms_norm(x, residual, weight, EPS), eager)


def swiglu(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Forward: 2 read, 1 written; backward: 3 read, 2 written."""
    made = Made(dtype, device)
    x = made.leaf(sizes.tokens, 2 * sizes.feed_forward)
    liger = try_import("liger_kernel.ops.swiglu", "LigerSiLUMulFunction")

    def eager() -> Tensor:
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate) * up

    return made.case(
        "swiglu", 4 * x.numel(), lambda: ops.swiglu(x), eager,
        liger=liger and (lambda: liger.apply(*(part.contiguous() for part in x.chunk(2, dim=-1)))),
    )  # fmt: skip


def rotary_qkv(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Everything is read and written once in each pass."""
    made = Made(dtype, device)
    per_group = sizes.heads // sizes.groups
    mixed = made.leaf(sizes.tokens, 1, sizes.groups, (per_group + 2) * sizes.head_size)
    cos, sin = ops.rotary_tables(sizes.tokens, sizes.head_size, 10_000.0, device=device)
    wide = [torch.cat((one, one), -1)[:, None, None].to(dtype) for one in (cos, sin)]

    def turned(part: Tensor) -> Tensor:
        first, second = part.chunk(2, dim=-1)
        return part * wide[0] + torch.cat((-second, first), dim=-1) * wide[1]

    def eager() -> tuple[Tensor, ...]:
        shape = (sizes.tokens, 1, -1, sizes.head_size)
        q, k, v = mixed.split([per_group * sizes.head_size, sizes.head_size, sizes.head_size], dim=-1)
        return turned(q.reshape(shape)), turned(k.reshape(shape)), v.reshape(shape).contiguous()

    return made.case("rotary_qkv", 4 * mixed.numel(), lambda: ops.rotary_qkv(mixed, cos, sin), eager)


def cross_entropy(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Logits are read twice, their gradient written once."""
    made = Made(dtype, device)
    logits = made.leaf(sizes.tokens, 1, sizes.vocabulary)
    target = torch.randint(0, sizes.vocabulary, (sizes.tokens, 1), device=device)

    def eager() -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), reduction="none")

    return made.case(
        "cross_entropy", 3 * logits.numel(), lambda: ops.vocab_parallel_cross_entropy(logits, target), eager
    )


def adamw(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """float32 parameter and moments read and written, the gradient read; bf16: a copy of the parameter written too."""
    width = sizes.hidden
    shapes = [(max(1, sizes.parameters // 4 // width), width)] * 4

    def tensors(kind: torch.dtype) -> list[Tensor]:
        return [torch.rand(shape, dtype=kind, device=device) for shape in shapes]

    params, moments, squares, grads = (tensors(torch.float32) for _ in range(4))
    copies = tensors(dtype) if dtype == torch.bfloat16 else []
    options: dict[str, Any] = {"lr": 1e-5, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}
    theirs = [torch.nn.Parameter(one.clone()) for one in params]
    torchs = torch.optim.AdamW(theirs, fused=device.type == "cuda", **options)
    for parameter, grad in zip(theirs, grads, strict=True):
        parameter.grad = grad

    def csrc() -> None:
        optimizer_ops.multi_tensor_adamw(params, grads, moments, squares, step=3, copies=copies, **options)

    def eager() -> None:
        torchs.step()
        if copies:
            for copy, one in zip(copies, theirs, strict=True):
                copy.copy_(one.detach())

    count = sum(one.numel() for one in params)
    name = "float32" if not copies else "float32 → bfloat16"
    return Case("adamw", name, "step", count * (28 + 2 * bool(copies)), csrc, eager, {})


def l2_norm(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Each element is read once."""
    tensors = [torch.randn(max(1, sizes.parameters // 8), dtype=dtype, device=device) for _ in range(8)]
    count = sum(one.numel() for one in tensors)
    return Case(
        "l2_norm", str(dtype).removeprefix("torch."), "forward", count * dtype.itemsize,
        lambda: optimizer_ops.multi_tensor_l2_norm(tensors), lambda: torch.nn.utils.get_total_norm(tensors), {},
    )  # fmt: skip


def _plain(name: str, x: Tensor, written: int, csrc: Callable[[], object], eager: Callable[[], object]) -> Case:
    size = x.numel() * x.element_size() + written
    return Case(name, str(x.dtype).removeprefix("torch."), "forward", size, csrc, eager, {})


def _quantized(x: Tensor, scale: Tensor) -> Tensor:
    limit = torch.finfo(E4M3).max
    return (x.float() * scale).clamp(-limit, limit).to(E4M3)


def quantize(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """An element is read, a byte written."""
    x = torch.randn(sizes.tokens, sizes.hidden, dtype=dtype, device=device)
    scale = torch.tensor(16.0, device=device)
    return _plain("fp8_quantize", x, x.numel(), lambda: ops.fp8_quantize(x, scale, E4M3), lambda: _quantized(x, scale))


def quantize_transpose(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """An element is read, two bytes written."""
    x = torch.randn(sizes.tokens, sizes.hidden, dtype=dtype, device=device)
    scale = torch.tensor(16.0, device=device)

    def eager() -> tuple[Tensor, Tensor]:
        made = _quantized(x, scale)
        return made, made.t().contiguous()

    return _plain("fp8_quantize_transpose", x, 2 * x.numel(), lambda: ops.fp8_quantize_transpose(x, scale, E4M3), eager)


def swiglu_fp8(sizes: Sizes, dtype: torch.dtype, device: torch.device) -> Case:
    """Gate and up are read, a byte and its transposed written."""
    x = torch.randn(sizes.tokens, 2 * sizes.feed_forward, dtype=dtype, device=device)
    scale = torch.tensor(16.0, device=device)

    def eager() -> tuple[Tensor, Tensor]:
        gate, up = x.chunk(2, dim=-1)
        made = _quantized(F.silu(gate.float()) * up.float(), scale)
        return made, made.t().contiguous()

    return _plain("swiglu_fp8", x, x.numel(), lambda: ops.swiglu_fp8(x, scale, E4M3, transpose=True), eager)
