"""csrc/bind/cuda.cpp itself, linked with the emulated kernels and registered for CPU tensors under another name.

On a GPU machine the same file is linked with nvcc's objects; here every argument that it passes is checked against the
CPU kernels.
"""

import re
import subprocess
from pathlib import Path

import pytest
import torch
from cuda_emulated import CSRC, HERE, KERNELS

from aixmeg import ops

ops.load()
CPU = torch.ops.aixmeg
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
SCHEMAS = re.findall(r'm\.def\(\s*((?:"[^"]*"\s*)+)\)', (CSRC / "bind" / "library.cpp").read_text())


@pytest.fixture(scope="session")
def emulated(emulated_library):
    """torch.ops.aixmeg_emulated: the ops of aixmeg through the CUDA binding."""
    folder = emulated_library.parent
    registration = "STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m)"
    binding = (CSRC / "bind" / "cuda.cpp").read_text()
    assert registration in binding
    source = folder / "binding.cpp"
    definitions = "".join(f"m.def({schema});" for schema in SCHEMAS if "cpu_isa" not in schema)
    source.write_text(
        binding.replace(registration, "STABLE_TORCH_LIBRARY_IMPL(aixmeg_emulated, CPU, m)")
        + f"STABLE_TORCH_LIBRARY(aixmeg_emulated, m) {{ {definitions} }}\n"
    )
    torch_folder = Path(torch.__file__).parent
    objects = [str(folder / f"{emulated_library.name}.{name}.o") for name in KERNELS]
    output = folder / "binding.so"
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-Wl,-Bsymbolic",
               "-fvisibility=hidden"]  # fmt: skip
    command += ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-isystem", str(torch_folder / "include")]
    command += [f"-I{CSRC / 'bind'}", str(source), str(HERE / "emulator" / "torch_stub.cpp"), *objects]
    subprocess.run([*command, f"-L{torch_folder / 'lib'}", "-ltorch_cpu", "-o", str(output)], check=True)
    torch.ops.load_library(output)
    return torch.ops.aixmeg_emulated


def assert_same(emulated, reference):
    """Two roundings of nearly the same float32 number: at most one unit in the last place of bfloat16 (2^-7) apart."""
    pairs = (
        [(emulated, reference)] if isinstance(emulated, torch.Tensor) else list(zip(emulated, reference, strict=True))
    )
    for mine, other in pairs:
        rtol = 2.0**-7 if mine.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(mine, other, rtol=rtol, atol=4e-6 * max([1.0, *other.abs().flatten().tolist()]))


def test_both_devices_implement_every_op():
    names = {re.search(r"(\w+)\(", schema)[1] for schema in SCHEMAS} - {"cpu_isa"}
    assert len(names) == 12
    for device in ("cpu", "cuda"):
        implemented = re.findall(r'm\.impl\("(\w+)"', (CSRC / "bind" / f"{device}.cpp").read_text())
        assert set(implemented) == names


@DTYPES
def test_rms_norm(emulated, dtype):
    x, dy = torch.randn(3, 7, 40, dtype=dtype), torch.randn(40, 7, 3, dtype=dtype).permute(2, 1, 0)
    weight = torch.randn(80, dtype=dtype)[::2]
    y, rstd = emulated.rms_norm_forward(x, weight, 1e-3)
    assert_same((y, rstd), CPU.rms_norm_forward(x, weight, 1e-3))
    assert_same(emulated.rms_norm_backward(dy, x, weight, rstd), CPU.rms_norm_backward(dy, x, weight, rstd))


@DTYPES
def test_add_rms_norm(emulated, dtype):
    x, residual = torch.randn(3, 7, 40, dtype=dtype), torch.randn(40, 7, 3, dtype=dtype).permute(2, 1, 0)
    weight, dy, dsum = torch.randn(80, dtype=dtype)[::2], torch.randn(3, 7, 40, dtype=dtype), residual * 2
    y, total, rstd = emulated.add_rms_norm_forward(x, residual, weight, 1e-3)
    assert_same((y, total, rstd), CPU.add_rms_norm_forward(x, residual, weight, 1e-3))
    arguments = (dy, dsum, total, weight, rstd)
    assert_same(emulated.add_rms_norm_backward(*arguments), CPU.add_rms_norm_backward(*arguments))


@DTYPES
@pytest.mark.parametrize("given", [False, True])
def test_rotary_qkv(emulated, dtype, given):
    cos, sin = ops.rotary_tables(12, 16, 1e4)
    mixed = torch.randn(3, 4, 2, 6 * 16, dtype=dtype).transpose(0, 1)  # [s, b, ng, (4 + 2) * hn]
    positions = torch.randint(0, 12, (3, 4)).t() if given else None
    found = emulated.rotary_qkv(mixed, cos, sin, positions)
    assert_same(found, CPU.rotary_qkv(mixed, cos, sin, positions))
    gradients = [torch.randn(3, n, 4, 16, dtype=dtype).permute(2, 0, 1, 3) for n in (8, 2, 2)]
    gradients[2] = torch.randn(4, 3, 2, 32, dtype=dtype)[..., ::2]
    arguments = (*gradients, cos, sin, positions)
    assert_same(emulated.rotary_qkv_backward(*arguments), CPU.rotary_qkv_backward(*arguments))


@DTYPES
def test_swiglu(emulated, dtype):
    x, dy = torch.randn(48, 5, dtype=dtype).t(), torch.randn(5, 24, dtype=dtype)
    assert_same(emulated.swiglu_forward(x), CPU.swiglu_forward(x))
    assert_same(emulated.swiglu_backward(dy, x), CPU.swiglu_backward(dy, x))


@DTYPES
@pytest.mark.parametrize("inverse", [False, True])
def test_rotary(emulated, dtype, inverse):
    cos, sin = ops.rotary_tables(4, 16, 1e4)
    joint = torch.randn(3, 4, 2, 6, 16, dtype=dtype).transpose(0, 1)  # [s, b, ng, 6, hn]
    keys = joint[:, :, :, 4]
    assert_same(emulated.rotary(keys, cos, sin, inverse), CPU.rotary(keys, cos, sin, inverse))
    wide = torch.randn(4, 3, 2, 32, dtype=dtype)[..., ::2]
    assert_same(emulated.rotary(wide, cos, sin, inverse), CPU.rotary(wide, cos, sin, inverse))


@DTYPES
def test_cross_entropy(emulated, dtype):
    logits, target, grad = torch.randn(24, 9, dtype=dtype).t(), torch.randint(0, 72, (9,)), torch.randn(9)
    if dtype == torch.float32:
        logits = logits + 1e5  # the maximum and the logarithm of the sum are no longer interchangeable
    target[:3] += 24 - target[:3] // 24 * 24  # some inside the second slice of three
    target = target.clamp(max=71)
    target[8] = -3
    for options in ((-3, False), (-3, True)):
        found = emulated.cross_entropy_statistics(logits, target, 24, 72, *options)
        assert_same(found, CPU.cross_entropy_statistics(logits, target, 24, 72, *options))
    maximum, total, picked, shifted = found
    assert (picked != 0).any()
    assert (shifted < 0).all()
    arguments = (target, 24, maximum, total.log(), grad, 72, -3, 0.1, 0.001)
    expected = CPU.cross_entropy_backward(logits, *arguments)
    assert_same(emulated.cross_entropy_backward(logits, *arguments), expected)
    in_place = logits.contiguous()
    emulated.cross_entropy_backward_(in_place, *arguments)
    assert_same(in_place, expected)


def test_nothing_to_do(emulated):
    weight = torch.ones(8)
    empty = torch.empty(0, 8)
    assert emulated.rms_norm_forward(empty, weight, 1e-5)[0].shape == (0, 8)
    assert torch.equal(emulated.rms_norm_backward(empty, empty, weight, torch.empty(0))[1], torch.zeros(8))
    assert emulated.swiglu_forward(torch.empty(3, 0)).shape == (3, 0)
    assert emulated.rotary(torch.empty(0, 1, 1, 4), torch.empty(0, 2), torch.empty(0, 2), False).shape == (0, 1, 1, 4)
    assert emulated.cross_entropy_statistics(empty, torch.empty(0, dtype=torch.int64), 0, 8, -100, False)[0].shape == (
        0,
    )


def test_mistakes_are_exceptions(emulated):
    x = torch.ones(2, 8)
    with pytest.raises(RuntimeError, match="weight has the wrong shape"):
        emulated.rms_norm_forward(x, torch.ones(7), 1e-5)
    with pytest.raises(RuntimeError, match="the tensors have different dtypes"):
        emulated.swiglu_backward(torch.ones(2, 4).bfloat16(), x)
    wide = torch.ones(1, 40961)
    with pytest.raises(RuntimeError, match="hidden size 40961 is over 40960"):
        emulated.rms_norm_backward(wide, wide, wide[0], torch.ones(1))
