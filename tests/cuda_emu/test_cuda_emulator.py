"""The emulator notices the mistakes it is there for."""

import ctypes
import os
import shutil
import subprocess

import pytest
import torch
from cuda_emulated import CSRC, HERE, KERNELS, EmulatedKernels, compile_emulated
from nearness import assert_near, leaf

from aixmeg.ops import reference_rms_norm


def planted_sum(library, *, forget_barrier):
    values, total = torch.randn(4, 256), torch.full((4,), float("nan"))
    error = library.planted_sum(
        ctypes.c_void_p(values.data_ptr()), ctypes.c_void_p(total.data_ptr()), 4, 256, int(forget_barrier)
    )
    assert error == 0
    return torch.allclose(total, values.sum(1), atol=1e-3)  # sums of 256 normal values in another order


def test_a_missing_barrier_gives_wrong_sums(kernels):
    assert planted_sum(kernels.library, forget_barrier=False)
    assert not planted_sum(kernels.library, forget_barrier=True)


def test_a_barrier_that_half_a_block_reaches_is_a_failed_launch(kernels):
    assert kernels.library.planted_divergence() == 719


def test_launches_that_a_gpu_refuses_are_refused(kernels):
    launch = kernels.library.planted_launch
    assert launch(ctypes.c_uint(65536), ctypes.c_uint(32), ctypes.c_size_t(0)) == 9  # grid too tall
    assert launch(ctypes.c_uint(1), ctypes.c_uint(1056), ctypes.c_size_t(0)) == 9  # too many threads
    assert launch(ctypes.c_uint(1), ctypes.c_uint(32), ctypes.c_size_t(228 * 1024)) == 1  # more shared than there is


def rms_norm_is_right(library):
    kernels = EmulatedKernels(library, seed=int.from_bytes(os.urandom(3), "little"))
    x, weight = torch.randn(540, 256), torch.randn(256)  # two warps; blocks of the backward pass take several rows
    wide, wide_weight = torch.randn(2, 2048), torch.randn(2048)
    x64, weight64 = leaf(x), leaf(weight)
    expected = reference_rms_norm(x64, weight64, 1e-5)
    expected.backward(x.double())
    try:
        y, _ = kernels.rms_norm_forward(wide, wide_weight, 1e-5)
        assert_near(y, reference_rms_norm(wide.double(), wide_weight.double(), 1e-5), "y")
        _, rstd = kernels.rms_norm_forward(x, weight, 1e-5)
        dx, dweight = kernels.rms_norm_backward(x, x, weight, rstd)
        assert_near(dx, x64.grad, "dx")
        assert_near(dweight, weight64.grad, "dweight")
    except AssertionError:
        return False
    return True


BARRIER = "__syncthreads();"


@pytest.mark.parametrize(
    ("file", "which"), [("device.h", 0), ("device.h", 1), ("rms_norm.cu", 0)], ids=["read", "reuse", "partials"]
)
def test_every_barrier_of_rms_norm_is_needed(tmp_path, file, which):
    """Remove one barrier of the real source: the numbers must come out wrong."""
    csrc = shutil.copytree(CSRC, tmp_path / "csrc")
    path = csrc / "cuda" / file
    parts = path.read_text().split(BARRIER)
    assert len(parts) == {"device.h": 3, "rms_norm.cu": 2}[file], "list the new barrier above"
    path.write_text(BARRIER.join(parts[: which + 1]) + BARRIER.join(parts[which + 1 :]))
    sources = [csrc / "cuda" / "rms_norm.cu", HERE / "emulator" / "seed.cpp"]
    library = compile_emulated(sources, tmp_path / "mutant.so", "-shared", csrc=csrc)
    assert not rms_norm_is_right(library)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    sources = [CSRC / "cuda" / f"{name}.cu" for name in KERNELS] + [HERE / "planted.cu", HERE / "sanitized_main.cpp"]
    output = tmp_path_factory.mktemp("sanitized") / "sanitized"
    return compile_emulated(sources, output, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run_sanitized(program, *arguments):
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True, timeout=500)


def test_kernels_touch_nothing_outside_their_buffers(sanitized):
    result = run_sanitized(sanitized)
    assert result.returncode == 0, result.stderr[:3000]


@pytest.mark.parametrize("memory", ["global", "shared"])
def test_a_planted_overrun_is_caught(sanitized, memory):
    result = run_sanitized(sanitized, memory)
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr


@pytest.fixture(scope="module")
def threaded(tmp_path_factory):
    sources = [CSRC / "cuda" / f"{name}.cu" for name in KERNELS] + [HERE / "planted.cu", HERE / "sanitized_main.cpp"]
    output = tmp_path_factory.mktemp("threaded") / "threaded"
    return compile_emulated(sources, output, "-fsanitize=thread", "-DAIXMEG_EMULATOR_THREADS", "-pthread")


def test_no_two_threads_race(threaded):
    result = run_sanitized(threaded)
    assert result.returncode == 0, result.stderr[:3000]


def test_a_planted_race_is_caught(threaded):
    result = run_sanitized(threaded, "race")
    assert result.returncode != 0
    assert "data race" in result.stderr
