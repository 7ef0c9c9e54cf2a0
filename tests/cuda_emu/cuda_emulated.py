"""The real .cu files compiled with g++ against the emulator, callable with torch tensors.

Outputs start as NaN inside a margin of NaN: an element that a kernel forgets, or writes beside its buffer, is noticed.
"""

import ctypes
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
CSRC = HERE.parents[1] / "csrc"
KERNELS = ("rms_norm", "swiglu", "rotary", "rotary_qkv", "cross_entropy", "optimizer", "fp8")
MARGIN = 64  # elements on both sides of an output; keeps 16-byte alignment
PARTIALS = 264  # kAixmegNormPartials


def compile_emulated(sources: list[Path], output: Path, *flags: str, csrc: Path = CSRC) -> Path:
    """Compile in two processes at once, then link; `flags` decide between a shared library and a program."""
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    command += ["-DAIXMEG_EMULATOR", f"-I{HERE / 'emulator'}", f"-I{csrc / 'cuda'}"]
    command += [flag for flag in flags if flag != "-shared"]

    def compile_one(source: Path) -> str:
        target = output.with_name(f"{output.name}.{source.stem}.o")
        subprocess.run([*command, "-x", "c++", "-c", str(source), "-o", str(target)], check=True)
        return str(target)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_one, sources))
    subprocess.run(["g++", *flags, *objects, "-o", str(output)], check=True)
    return output


def offset_copy(tensor: Tensor, offset: int) -> Tensor:
    """A dense copy that starts `offset` elements after a 16-byte boundary."""
    buffer = torch.empty(tensor.numel() + offset, dtype=tensor.dtype)
    return buffer[offset:].view(tensor.shape).copy_(tensor)


class Output:
    """A poisoned tensor with margins."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, offset: int = 0) -> None:
        count = torch.Size(shape).numel()
        self.buffer = torch.full((count + 2 * MARGIN + offset,), float("nan"), dtype=dtype)
        self.start, self.end = MARGIN + offset, MARGIN + offset + count
        self.tensor = self.buffer[self.start : self.end].view(shape)

    def check_margins(self) -> None:
        assert self.buffer[: self.start].isnan().all(), "a kernel wrote before its output"
        assert self.buffer[self.end :].isnan().all(), "a kernel wrote after its output"


class EmulatedKernels:
    """ctypes calls into the shared library; one method per entry point, named as in csrc/cuda/kernels.h."""

    def __init__(self, library: Path, seed: int) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.emulator_seed(ctypes.c_uint(seed))

    def call(self, name: str, tensors: list[Tensor | Output | None], *numbers: int | float, dtype: torch.dtype) -> None:
        """Call aixmeg_cuda_NAME(type, pointers..., numbers..., stream) and check its outputs' margins."""
        plain_tensors = [t.tensor if isinstance(t, Output) else t for t in tensors]
        pointers = [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in plain_tensors]
        plain = [ctypes.c_float(n) if isinstance(n, float) else ctypes.c_int64(n) for n in numbers]
        error = getattr(self.library, f"aixmeg_cuda_{name}")(
            ctypes.c_int(int(dtype == torch.bfloat16)), *pointers, *plain, ctypes.c_void_p()
        )
        assert error == 0, f"{name} returned CUDA error {error}"
        for tensor in tensors:
            if isinstance(tensor, Output):
                tensor.check_margins()

    def rms_norm_forward(self, x: Tensor, weight: Tensor, eps: float, offset: int = 0) -> tuple[Tensor, Tensor]:
        rows, hidden = x.shape
        y, rstd = Output((rows, hidden), x.dtype, offset), Output((rows,), torch.float32)
        self.call("rms_norm_forward", [x, weight, y, rstd], rows, hidden, eps, dtype=x.dtype)
        return y.tensor, rstd.tensor

    def rms_norm_backward(
        self, dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, offset: int = 0
    ) -> tuple[Tensor, Tensor]:
        rows, hidden = x.shape
        count = min(rows, PARTIALS)
        dx, dweight = Output((rows, hidden), x.dtype, offset), Output((hidden,), x.dtype, offset)
        partials = Output((count, hidden), torch.float32)
        self.call("rms_norm_backward", [dy, x, weight, rstd, dx, dweight, partials], count, rows, hidden, dtype=x.dtype)
        return dx.tensor, dweight.tensor

    def swiglu_forward(self, x: Tensor, offset: int = 0) -> Tensor:
        rows, width = x.shape[0], x.shape[1] // 2
        y = Output((rows, width), x.dtype, offset)
        self.call("swiglu_forward", [x, y], rows, width, dtype=x.dtype)
        return y.tensor

    def swiglu_backward(self, dy: Tensor, x: Tensor, offset: int = 0) -> Tensor:
        dx = Output(tuple(x.shape), x.dtype, offset)
        self.call("swiglu_backward", [dy, x, dx], *dy.shape, dtype=x.dtype)
        return dx.tensor

    def rotary(self, x: Tensor, cos: Tensor, sin: Tensor, *, inverse: bool = False, offset: int = 0) -> Tensor:
        y = Output(tuple(x.shape), x.dtype, offset)
        strides = (ctypes.c_int64 * 3)(*x.stride()[:3])
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, cos, sin, y.tensor)]
        sizes = [ctypes.c_int64(size) for size in x.shape]
        error = self.library.aixmeg_cuda_rotary(
            ctypes.c_int(int(x.dtype == torch.bfloat16)), *pointers, *sizes, strides, ctypes.c_int(inverse),
            ctypes.c_void_p(),
        )  # fmt: skip
        assert error == 0
        y.check_margins()
        return y.tensor

    def cross_entropy_statistics(
        self, logits: Tensor, target: Tensor, first: int, vocabulary: int, ignore_index: int = -100,
        want_shifted: bool = True,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        rows, columns = logits.shape
        out = [Output((rows,), torch.float32) for _ in range(4 if want_shifted else 3)]
        pointers = [logits, target, *out] + ([] if want_shifted else [None])
        self.call(
            "cross_entropy_statistics", pointers, rows, columns, first, vocabulary, ignore_index, dtype=logits.dtype
        )
        return tuple(one.tensor for one in out)

    def cross_entropy_backward(
        self, logits: Tensor, target: Tensor, first: int, maximum: Tensor, log_total: Tensor, grad: Tensor,
        vocabulary: int, ignore_index: int = -100, smoothing: float = 0.0, z_loss: float = 0.0, offset: int = 0,
    ) -> Tensor:  # fmt: skip
        rows, columns = logits.shape
        dlogits = Output((rows, columns), logits.dtype, offset)
        self.call(
            "cross_entropy_backward", [logits, target, maximum, log_total, grad, dlogits], rows, columns, first,
            vocabulary, ignore_index, smoothing, z_loss, dtype=logits.dtype,
        )  # fmt: skip
        return dlogits.tensor

    def add_rms_norm_forward(
        self, x: Tensor, residual: Tensor, weight: Tensor, eps: float, offset: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, hidden = x.shape
        y, total = (Output((rows, hidden), x.dtype, offset) for _ in range(2))
        rstd = Output((rows,), torch.float32)
        self.call("add_rms_norm_forward", [x, residual, weight, y, total, rstd], rows, hidden, eps, dtype=x.dtype)
        return y.tensor, total.tensor, rstd.tensor

    def add_rms_norm_backward(
        self, dy: Tensor, dtotal: Tensor, total: Tensor, weight: Tensor, rstd: Tensor, offset: int = 0
    ) -> tuple[Tensor, Tensor]:
        rows, hidden = total.shape
        count = min(rows, PARTIALS)
        dx, dweight = Output((rows, hidden), dy.dtype, offset), Output((hidden,), dy.dtype, offset)
        tensors = [dy, dtotal, total, weight, rstd, dx, dweight, Output((count, hidden), torch.float32)]
        self.call("add_rms_norm_backward", tensors, count, rows, hidden, dtype=dy.dtype)
        return dx.tensor, dweight.tensor

    def rotary_qkv(
        self, mixed: Tensor, cos: Tensor, sin: Tensor, positions: Tensor | None, offset: int = 0
    ) -> tuple[Tensor, ...]:
        s, b, groups, width = mixed.shape
        size = 2 * cos.shape[1]
        heads = width // size - 2
        out = [Output((s, b, count, size), mixed.dtype, offset) for count in (groups * heads, groups, groups)]
        tensors = [mixed, cos, sin, positions, *out]
        self.call("rotary_qkv", tensors, s, b, groups, heads, size, cos.shape[0], dtype=mixed.dtype)
        return tuple(one.tensor for one in out)

    def rotary_qkv_backward(  # the arguments of the op
        self, gradients: tuple[Tensor, ...], cos: Tensor, sin: Tensor, positions: Tensor | None, offset: int = 0
    ) -> Tensor:
        dq, dk, _ = gradients
        s, b, groups, size = dk.shape
        heads = dq.shape[2] // groups
        dmixed = Output((s, b, groups, (heads + 2) * size), dk.dtype, offset)
        strides = torch.tensor([stride for gradient in gradients for stride in gradient.stride()[:3]])
        pointers = [*gradients, cos, sin, positions, dmixed.tensor]
        error = self.library.aixmeg_cuda_rotary_qkv_backward(
            ctypes.c_int(int(dk.dtype == torch.bfloat16)),
            *(ctypes.c_void_p(None if t is None else t.data_ptr()) for t in pointers),
            *(ctypes.c_int64(size) for size in (s, b, groups, heads, size, cos.shape[0])),
            ctypes.c_void_p(strides.data_ptr()), ctypes.c_void_p(),
        )  # fmt: skip
        assert error == 0
        dmixed.check_margins()
        return dmixed.tensor
