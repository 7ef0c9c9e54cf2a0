"""The FP8 kernels in the emulator, and their binding, against torch's conversions bit by bit."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from cuda_emulated import CSRC, HERE, Output, offset_copy

from aixmeg.ops import fp8_quantize_transpose, reference_fp8_quantize, reference_fp8_scale, swiglu_fp8
from aixmeg.ops.fp8 import E4M3, E5M2

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float", "bfloat16"])
FORMATS = pytest.mark.parametrize("fp8", [E4M3, E5M2], ids=["e4m3", "e5m2"])
OFFSETS = pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
# One thread's run, less, one tile, tiles with edges that do and do not end with a run.
SIZES = pytest.mark.parametrize(("rows", "columns"), [(1, 16), (5, 37), (64, 64), (80, 144), (130, 70), (3, 1)])


class Bytes(Output):
    """Poisoned FP8: 0x7f, a NaN in both formats, with margins of it."""

    def __init__(self, shape, fp8, offset=0):
        super().__init__(shape, torch.bfloat16, offset)
        self.buffer = torch.full(self.buffer.shape, 0x7F, dtype=torch.uint8)
        self.tensor = self.buffer[self.start : self.end].view(fp8).view(shape)

    def check_margins(self):
        assert (self.buffer[: self.start] == 0x7F).all(), "a kernel wrote before its output"
        assert (self.buffer[self.end :] == 0x7F).all(), "a kernel wrote after its output"


def pointer(tensor):
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def quantize(kernels, x, fp8, *, rows=None, columns=None, gated=False, amax=None, offset=0):
    """aixmeg_cuda_fp8_quantize: the layouts whose scales are given, else None."""
    m, k = x.shape[0], x.shape[1] // 2 if gated else x.shape[1]
    q = Bytes((m, k), fp8, offset * 16) if rows is not None else None
    transposed = Bytes((k, m), fp8, offset) if columns is not None else None
    steps = [ctypes.c_int64(int(scale is not None and scale.numel() != 1)) for scale in (rows, columns)]
    error = kernels.library.aixmeg_cuda_fp8_quantize(
        ctypes.c_int(int(x.dtype == torch.bfloat16)), pointer(x), pointer(rows), steps[0], pointer(columns), steps[1],
        pointer(q and q.tensor), pointer(transposed and transposed.tensor), pointer(amax), ctypes.c_int64(m),
        ctypes.c_int64(k), ctypes.c_int(fp8 == E5M2), ctypes.c_int(gated), ctypes.c_void_p(),
    )  # fmt: skip
    assert error == 0
    for output in (q, transposed):
        if output is not None:
            output.check_margins()
    return (q and q.tensor), (transposed and transposed.tensor)


def same_bytes(mine, other):
    return torch.equal(mine.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@DTYPES
@FORMATS
@OFFSETS
@SIZES
def test_quantize(kernels, rows, columns, fp8, dtype, offset):
    x = offset_copy((torch.randn(rows, columns) * torch.exp2(torch.randn(rows, columns) * 6)).to(dtype), offset)
    x.view(-1)[: min(3, x.numel())] = torch.tensor([torch.nan, torch.inf, -torch.inf], dtype=dtype)[: x.numel()]
    by_row, by_column, one = torch.rand(rows) + 0.1, torch.rand(columns) + 0.1, torch.tensor([3.7])
    amax = torch.tensor([2.0])
    q, transposed = quantize(kernels, x, fp8, rows=by_row, columns=by_column, amax=amax, offset=offset)
    assert same_bytes(q, reference_fp8_quantize(x, by_row[:, None], fp8))
    assert same_bytes(transposed, reference_fp8_quantize(x.t(), by_column[:, None], fp8))
    assert amax.isnan()
    q, nothing = quantize(kernels, x, fp8, rows=one, offset=offset)
    assert nothing is None
    assert same_bytes(q, reference_fp8_quantize(x, one, fp8))
    _, transposed = quantize(kernels, x, fp8, columns=one, offset=offset)
    assert same_bytes(transposed, reference_fp8_quantize(x.t(), one, fp8))
    finite = x.float().nan_to_num(0.0, 1.0, -1.0).to(dtype)
    quantize(kernels, finite, fp8, rows=one, amax=(amax := torch.tensor([0.5])))
    assert amax == max(0.5, finite.abs().max().item())


@DTYPES
@FORMATS
@SIZES
def test_swiglu(kernels, rows, columns, fp8, dtype):
    """Against the CPU kernel: the exponential differs in the last bits, so that a number at a half may go either way:
    one step of the format, and seldom."""
    x, scale = torch.randn(rows, 2 * columns, dtype=dtype) * 3, torch.tensor([2.0])
    amax = torch.zeros(1)
    q, transposed = quantize(kernels, x, fp8, rows=scale, columns=scale, gated=True, amax=amax)
    expected, _ = swiglu_fp8(x, scale, fp8, amax=(expected_amax := torch.zeros(1)))
    steps = (q.view(torch.uint8).int() - expected.view(torch.uint8).int()).abs()
    assert steps.max() <= 1
    assert steps.sum() <= 1 + steps.numel() // 100
    assert same_bytes(transposed, q.t())
    torch.testing.assert_close(amax, expected_amax, rtol=4e-6, atol=0)


@DTYPES
@OFFSETS
@pytest.mark.parametrize(("rows", "columns"), [(1, 8), (5, 37), (2, 4104), (1100, 3), (600, 40)])
def test_amax(kernels, rows, columns, dtype, offset):
    x = offset_copy(torch.randn(rows, columns, dtype=dtype), offset)
    code, sizes = ctypes.c_int(int(dtype == torch.bfloat16)), (ctypes.c_int64(rows), ctypes.c_int64(columns))
    by_row, whole, by_column = Output((rows,), torch.float32), torch.zeros(1), torch.zeros(columns)
    call = kernels.library.aixmeg_cuda_fp8_amax_rows
    assert call(code, pointer(x), pointer(by_row.tensor), None, *sizes, None) == 0
    assert call(code, pointer(x), None, pointer(whole), *sizes, None) == 0
    assert kernels.library.aixmeg_cuda_fp8_amax_columns(code, pointer(x), pointer(by_column), *sizes, None) == 0
    by_row.check_margins()
    magnitudes = x.float().abs()
    assert torch.equal(by_row.tensor, magnitudes.amax(1))
    assert whole == magnitudes.max()
    assert torch.equal(by_column, magnitudes.amax(0))


@pytest.mark.parametrize("window", [1, 5, 600])
def test_history_and_scales(kernels, window):
    n, position, margin = 3, window // 2, 2
    history, amax, e5m2 = torch.rand(n, window), torch.rand(n) * 3, torch.tensor([False, True, False])
    noted = amax.clone()
    expected = history.clone()
    expected[:, position] = amax
    scale, inv = Output((n,), torch.float32), Output((n,), torch.float32)
    tensors = [pointer(t) for t in (history, amax, scale.tensor, inv.tensor, e5m2)]
    numbers = [ctypes.c_int64(value) for value in (n, window, position, margin)]
    assert kernels.library.aixmeg_cuda_fp8_update_history(*tensors, *numbers, None) == 0
    scale.check_margins()
    inv.check_margins()
    assert torch.equal(history, expected)
    assert amax.tolist() == [0.0] * n
    wanted = [reference_fp8_scale(expected[i].max(), E5M2 if e5m2[i] else E4M3, margin=margin) for i in range(n)]
    assert torch.equal(scale.tensor, torch.stack(wanted))
    assert torch.equal(inv.tensor, 1 / torch.stack(wanted))

    scale, inv = Output((n,), torch.float32), Output((n,), torch.float32)
    call = kernels.library.aixmeg_cuda_fp8_scale
    assert call(*map(pointer, (noted, scale.tensor, inv.tensor)), ctypes.c_int64(n), 1, ctypes.c_int64(0), None) == 0
    assert torch.equal(scale.tensor, reference_fp8_scale(noted, E5M2))


@pytest.fixture(scope="session")
def emulated(emulated_library):
    """torch.ops.aixmeg_fp8_emulated: csrc/bind/fp8_cuda.cpp linked with the emulated kernels, for CPU tensors."""
    folder = emulated_library.parent
    binding = (CSRC / "bind" / "fp8_cuda.cpp").read_text()
    schemas = re.findall(r'm\.def\(\s*((?:"[^"]*"\s*)+)\)', (CSRC / "bind" / "fp8_cpu.cpp").read_text())
    assert len(schemas) == 6
    definitions = "".join(f"m.def({schema});" for schema in schemas)
    source = folder / "fp8_binding.cpp"
    source.write_text(
        binding.replace("STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m)", "STABLE_TORCH_LIBRARY_IMPL(aixmeg_fp8, CPU, m)")
        + f"STABLE_TORCH_LIBRARY(aixmeg_fp8, m) {{ {definitions} }}\n"
    )
    torch_folder, output = Path(torch.__file__).parent, folder / "fp8_binding.so"
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    command += [
        "-Wl,-Bsymbolic",
        "-DTORCH_TARGET_VERSION=0x020b000000000000",
        "-isystem",
        str(torch_folder / "include"),
    ]
    command += [f"-I{CSRC / 'bind'}", str(source), str(HERE / "emulator" / "torch_stub.cpp")]
    command += [str(folder / f"{emulated_library.name}.fp8.o"), f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
    subprocess.run([*command, "-o", str(output)], check=True)
    torch.ops.load_library(output)
    return torch.ops.aixmeg_fp8


@DTYPES
def test_binding_passes_every_argument_on(emulated, dtype):
    x = torch.randn(40, 70, dtype=dtype).t()  # strided
    cpu = torch.ops.aixmeg
    for name in ("fp8_amax", "fp8_amax_rows", "fp8_amax_columns"):
        assert torch.equal(getattr(emulated, name)(x), getattr(cpu, name)(x))
    assert torch.equal(emulated.fp8_scale(torch.ones(3), True, 1)[0], cpu.fp8_scale(torch.ones(3), True, 1)[0])
    rows, columns, one = torch.rand(70), torch.rand(40), torch.tensor(0.7)
    for scales in ((rows, columns), (rows, None), (None, one), (one, columns)):
        for e5m2 in (False, True):
            amaxes = torch.zeros(1), torch.zeros(1)
            mine, expected = (
                library.fp8_quantize(x, *scales, e5m2, False, amax)
                for library, amax in zip((emulated, cpu), amaxes, strict=True)
            )
            for a, b in zip(mine, expected, strict=True):
                assert a.dtype == b.dtype
                assert a.shape == b.shape
                assert same_bytes(a, b)
            assert torch.equal(*amaxes)
    gated, _ = emulated.fp8_quantize(x, one, None, False, True, None)
    assert gated.shape == (70, 20)
    states = (torch.rand(2, 3), torch.rand(2), torch.ones(2), torch.ones(2), torch.tensor([True, False]))
    mine, expected = ([tensor.clone() for tensor in states] for _ in range(2))
    emulated.fp8_update_history(*mine, 2, 1)
    cpu.fp8_update_history(*expected, 2, 1)
    assert all(torch.equal(a, b) for a, b in zip(mine, expected, strict=True))
    with pytest.raises(RuntimeError, match="row_scale has 3 elements for 70 rows"):
        emulated.fp8_quantize(x, torch.ones(3), None, False, False, None)
    assert emulated.fp8_quantize(torch.empty(0, 8), one, one, False, False, None)[1].shape == (8, 0)


def test_quantised_on_both_devices_alike(emulated):
    x = torch.randn(33, 48, dtype=torch.bfloat16)
    q, transposed = emulated.fp8_quantize(x, torch.tensor(4.0), torch.tensor(4.0), False, False, None)
    expected = fp8_quantize_transpose(x, torch.tensor(4.0), E4M3)
    assert same_bytes(q, expected[0])
    assert same_bytes(transposed, expected[1])


NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed: there is no PTX to look at")
def test_gpus_with_fp8_use_the_instruction_and_move_sixteen_bytes(tmp_path):
    source = CSRC / "cuda" / "fp8.cu"
    ptx = {}
    for arch in (80, 90):
        output = tmp_path / f"{arch}.ptx"
        subprocess.run(
            [NVCC, "-O3", "-std=c++17", f"-arch=sm_{arch}", "-ptx", str(source), "-o", str(output)], check=True
        )
        ptx[arch] = output.read_text()
    assert "cvt.rn.satfinite.e4m3x2.f32" in ptx[90]
    assert "cvt.rn.satfinite.e5m2x2.f32" in ptx[90]
    assert "satfinite" not in ptx[80]
    packed = re.findall(r"\.entry (\S*quantize_kernelI\S*Lb1ELb\S*)\((.*?)\n}", ptx[90], re.DOTALL)
    assert len(packed) == 4
    for name, body in packed:
        assert re.search(r"ld\.global(\.nc)?\.v4\.[ubf]32", body), name
        assert len(re.findall(r"st\.global(\.wb)?\.v4", body)) == 2, name
        assert not re.search(r"(ld|st)\.global(\.nc)?\.[usb](8|16)", body), name
