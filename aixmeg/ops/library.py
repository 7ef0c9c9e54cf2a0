"""Loads the compiled extension once and says what each op resolves to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from aixmeg.errors import UserError

OPS = (
    "rms_norm",
    "swiglu",
    "rotary",
    "rotary_qkv",
    "cross_entropy",
    "linear_cross_entropy",
    "fp8",
    "optimizer",
)
KERNEL_DTYPES = (torch.float32, torch.bfloat16)
_BUILD = "python setup.py build_ext --inplace"


def _load_all() -> tuple[str | None, bool]:
    """Load _cpu.so, and _cuda.so where this torch can run it: (what went wrong or None, whether CUDA kernels are in).

    Loading two copies of a library that registers ops ends the process, so this runs once, when the module is imported.
    """
    folder = Path(__file__).parent
    cpu, cuda = folder / "_cpu.so", folder / "_cuda.so"
    if not cpu.exists():
        return f"the compiled kernels are missing ({cpu}); build them in the source folder: {_BUILD}", False
    try:
        torch.ops.load_library(cpu)
        torch.ops.aixmeg.cpu_isa()  # a wrong AIXMEG_CPU_ISA is reported here
        if torch.version.cuda is None or not cuda.exists():
            return None, False
        torch.ops.load_library(cuda)
        return None, True
    except (OSError, RuntimeError) as error:
        first_line = str(error).split("\n", 1)[0]
        if "AIXMEG_CPU_ISA" in first_line:
            return first_line, False
        return f"the compiled kernels do not load ({first_line}); build them again: {_BUILD}", False


_PROBLEM, _HAS_CUDA = _load_all()


def is_loaded() -> bool:
    """Whether the kernels are there."""
    return _PROBLEM is None


def load() -> None:
    """Make sure that the kernels are there.

    Raises:
        UserError: the extension is not built, does not load, or AIXMEG_CPU_ISA names an instruction set that this
            machine lacks; the message holds the remedy.
    """
    if _PROBLEM is not None:
        raise UserError(_PROBLEM)


def resolved() -> dict[str, str]:
    """What each op runs on, for instance {"rms_norm": "csrc cpu (avx512)"}; with CUDA kernels "csrc cuda + cpu (…)".

    Raises:
        UserError: see `load`.
    """
    load()
    where = f"cpu ({torch.ops.aixmeg.cpu_isa()})"
    if _HAS_CUDA:
        where = f"cuda + {where}"
    return dict.fromkeys(OPS, f"csrc {where}")


def check_kernel_input(op: str, name: str, tensor: Tensor) -> None:
    """Check that kernels for this tensor's dtype and device exist.

    Raises:
        UserError: they do not.
    """
    load()
    if tensor.dtype not in KERNEL_DTYPES:
        raise UserError(f"{op}: {name} is {tensor.dtype}; the kernels take torch.float32 and torch.bfloat16")
    if tensor.is_cuda and not _HAS_CUDA:
        raise UserError(
            f"{op}: {name} is on {tensor.device}, but the CUDA kernels are not built; install a CUDA torch and the "
            f"CUDA toolkit, then AIXMEG_CUDA=1 {_BUILD}"
        )


def check_same_kind(op: str, **tensors: Tensor) -> None:
    """Check that all tensors share dtype and device.

    Raises:
        UserError: they do not; the message lists each.
    """
    values = list(tensors.values())
    if any(tensor.dtype != values[0].dtype or tensor.device != values[0].device for tensor in values):
        kinds = ", ".join(f"{name} {tensor.dtype} on {tensor.device}" for name, tensor in tensors.items())
        raise UserError(f"{op}: dtypes and devices must be equal, got {kinds}; convert with .to()")
