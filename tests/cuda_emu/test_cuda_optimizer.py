"""The optimizer's CUDA kernels in the emulator against float64, and their binding against the CPU kernels."""

import ctypes
import math
import subprocess
from pathlib import Path

import pytest
import torch
from cuda_emulated import CSRC, HERE, Output, offset_copy
from nearness import assert_near

from aixmeg.ops.optimizer import reference_adamw

F32, BF16 = torch.float32, torch.bfloat16
DTYPES = pytest.mark.parametrize("dtype", [F32, BF16], ids=["float", "bfloat16"])
# Less than a pack, packs and a rest, nothing, exactly a chunk, more than a chunk; the last tensors are misaligned.
SIZES = [3, 37, 0, 32768, 1, 33000, 264, 40]
OFFSETS = [0, 0, 0, 0, 0, 0, 1, 3]
STEP = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "step": 3}


def pointers(tensors):
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def sizes_of(tensors):
    return (ctypes.c_int64 * len(tensors))(*(tensor.numel() for tensor in tensors))


def code(tensors):
    return ctypes.c_int(int(tensors[0].dtype == BF16))


def random_list(dtype, *, sizes=SIZES, offsets=OFFSETS, make=torch.randn):
    return [offset_copy(make(size).to(dtype), offset) for size, offset in zip(sizes, offsets, strict=True)]


class Written:
    """A list that kernels write in place, inside margins of NaN."""

    def __init__(self, values, offsets=OFFSETS):
        self.outputs = [
            Output(tuple(value.shape), value.dtype, offset) for value, offset in zip(values, offsets, strict=True)
        ]
        self.tensors = [output.tensor for output in self.outputs]
        for tensor, value in zip(self.tensors, values, strict=True):
            tensor.copy_(value)

    def check_margins(self):
        for output in self.outputs:
            output.check_margins()


def options(*, lr, betas, eps, weight_decay, step, decoupled=True):
    """AdamwOptions of csrc/common/adamw.h."""
    corrections = [1 - beta**step for beta in betas]
    decay, coupled = (lr * weight_decay, 0.0) if decoupled else (0.0, weight_decay)
    numbers = (
        1 - betas[0], betas[1], 1 - betas[1], lr / corrections[0], 1 / math.sqrt(corrections[1]), eps, decay, coupled
    )  # fmt: skip
    return (ctypes.c_float * 8)(*numbers)


def run_adamw(library, params, grads, moments, seconds, copies, **step):
    error = library.aixmeg_cuda_multi_tensor_adamw(
        code(grads), code(moments), code(seconds), ctypes.c_int64(len(params)), sizes_of(params), pointers(params),
        pointers(grads), pointers(moments), pointers(seconds), pointers(copies) if copies else None, options(**step),
        None,
    )  # fmt: skip
    assert error == 0


@DTYPES
@pytest.mark.parametrize("first", [F32, BF16], ids=["m-float", "m-bfloat16"])
@pytest.mark.parametrize("second", [F32, BF16], ids=["v-float", "v-bfloat16"])
@pytest.mark.parametrize("decoupled", [True, False])
def test_adamw(kernels, dtype, first, second, decoupled):
    params, grads = random_list(F32), random_list(dtype)
    moments, seconds = random_list(first), random_list(second, make=torch.rand)
    state = (params, grads, moments, seconds)
    expected = [
        reference_adamw(*(t.double() for t in one), **STEP, decoupled=decoupled) for one in zip(*state, strict=True)
    ]
    with_copies = decoupled
    lists = [Written(values) for values in (params, moments, seconds)]
    copies = Written([torch.zeros(size, dtype=BF16) for size in SIZES])
    run_adamw(
        kernels.library, lists[0].tensors, grads, lists[1].tensors, lists[2].tensors,
        copies.tensors if with_copies else None, **STEP, decoupled=decoupled,
    )  # fmt: skip
    for name, found, index in zip(("param", "exp_avg", "exp_avg_sq"), lists, range(3), strict=True):
        found.check_margins()
        for tensor, one in zip(found.tensors, expected, strict=True):
            assert_near(tensor, one[index], name)
    copies.check_margins()
    for copy, param in zip(copies.tensors, lists[0].tensors, strict=True):
        assert torch.equal(copy, param.bfloat16() if with_copies else torch.zeros_like(copy))


def test_more_tensors_than_a_table_holds(kernels):
    """Every table of 68 full, of both widths: no tensor twice, none left out."""
    count = 211
    sizes, offsets = [index % 11 for index in range(count)], [index % 3 for index in range(count)]
    params, grads = (random_list(F32, sizes=sizes, offsets=offsets) for _ in range(2))
    zeros = [torch.zeros(size) for size in sizes]
    lists = [Written(values, offsets) for values in (params, zeros, zeros)]
    run_adamw(kernels.library, lists[0].tensors, grads, lists[1].tensors, lists[2].tensors, None, **STEP)
    for index, one in enumerate(zip(params, grads, zeros, zeros, strict=True)):
        expected = reference_adamw(*(t.double() for t in one), **STEP)
        assert_near(lists[0].tensors[index], expected[0], f"param {index}")
    for written in lists:
        written.check_margins()


def run_norm(library, tensors, per_tensor=True):
    slots = sum((tensor.numel() + 32767) // 32768 + 1 for tensor in tensors)
    outputs = Output((slots,), torch.float64), Output((1,), F32), Output((len(tensors),), F32)
    addresses = [ctypes.c_void_p(output.tensor.data_ptr()) for output in outputs]
    if not per_tensor:
        addresses[2] = ctypes.c_void_p()
    error = library.aixmeg_cuda_multi_tensor_l2_norm(
        code(tensors), ctypes.c_int64(len(tensors)), sizes_of(tensors), pointers(tensors), *addresses, None
    )
    assert error == 0
    for output in outputs:
        output.check_margins()
    return outputs[1].tensor, outputs[2].tensor


@DTYPES
def test_l2_norm(kernels, dtype):
    tensors = random_list(dtype)
    norm, norms = run_norm(kernels.library, tensors)
    expected = torch.stack([torch.linalg.vector_norm(tensor.double()) for tensor in tensors])
    # Sums of up to 128 squares in float32, the rest in double: a few roundings of 6e-8.
    torch.testing.assert_close(norms.double(), expected, rtol=5e-7, atol=0)
    torch.testing.assert_close(norm[0].double(), torch.linalg.vector_norm(expected), rtol=5e-7, atol=0)
    alone, untouched = run_norm(kernels.library, tensors, per_tensor=False)
    assert torch.equal(alone, norm)
    assert untouched.isnan().all()


def test_l2_norm_of_more_tensors_than_its_tables_hold(kernels):
    tensors = random_list(F32, sizes=[5] * 486, offsets=[0, 1] * 243)  # 480 and 159
    norm, norms = run_norm(kernels.library, tensors)
    expected = torch.stack([torch.linalg.vector_norm(tensor.double()) for tensor in tensors])
    torch.testing.assert_close(norms.double(), expected, rtol=5e-7, atol=0)
    torch.testing.assert_close(norm[0].double(), torch.linalg.vector_norm(expected), rtol=5e-7, atol=0)


def test_l2_norm_of_nothing(kernels):
    norm, norms = run_norm(kernels.library, [torch.empty(0), torch.empty(0)])
    assert norm.tolist() == [0.0]
    assert norms.tolist() == [0.0, 0.0]


@DTYPES
@pytest.mark.parametrize("target", [F32, BF16], ids=["to-float", "to-bfloat16"])
def test_scale(kernels, dtype, target):
    sources = random_list(dtype)
    targets = Written([torch.zeros(size, dtype=target) for size in SIZES])
    found_inf = torch.zeros(1, dtype=torch.int32)

    def scale(factor):
        error = kernels.library.aixmeg_cuda_multi_tensor_scale(
            code(sources), code(targets.tensors), ctypes.c_int64(len(sources)), sizes_of(sources), pointers(sources),
            pointers(targets.tensors), ctypes.c_float(factor), ctypes.c_void_p(found_inf.data_ptr()), None,
        )  # fmt: skip
        assert error == 0
        targets.check_margins()
        return found_inf.item()

    assert scale(0.75) == 0
    for source, written in zip(sources, targets.tensors, strict=True):
        assert torch.equal(written, (source.float() * 0.75).to(target))
    sources[5][32999] = 1e30  # a finite source that overflows, in the rest after the packs of a second chunk
    assert scale(1e10) == 1
    sources[5][32999] = float("nan")
    found_inf.zero_()
    assert scale(1.0) == 1


# The binding


@pytest.fixture(scope="session")
def binding(emulated_library):
    """csrc/bind/optimizer_cuda.cpp over the emulated kernels, registered for CPU tensors under another name."""
    folder = emulated_library.parent
    schemas = (CSRC / "bind" / "optimizer_cpu.cpp").read_text()
    fragment = schemas[schemas.index("STABLE_TORCH_LIBRARY_FRAGMENT(aixmeg, m) {") :]
    definitions = fragment[fragment.index("{") : fragment.index("\n}\n") + 3]
    source = folder / "optimizer_binding.cpp"
    text = (CSRC / "bind" / "optimizer_cuda.cpp").read_text()
    registration = "STABLE_TORCH_LIBRARY_IMPL(aixmeg, CUDA, m)"
    assert registration in text
    source.write_text(
        text.replace(registration, "STABLE_TORCH_LIBRARY_IMPL(aixmeg_emulated_lists, CPU, m)")
        + f"STABLE_TORCH_LIBRARY(aixmeg_emulated_lists, m) {definitions}\n"
    )
    torch_folder, output = Path(torch.__file__).parent, folder / "optimizer_binding.so"
    command = ["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic"]
    command += ["-Wall", "-Wextra", "-Werror"]
    command += ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-isystem", str(torch_folder / "include")]
    command += [f"-I{CSRC / 'bind'}", str(source), str(HERE / "emulator" / "torch_stub.cpp")]
    command += [str(folder / f"{emulated_library.name}.optimizer.o"), f"-L{torch_folder / 'lib'}", "-ltorch_cpu"]
    subprocess.run([*command, "-o", str(output)], check=True)
    torch.ops.load_library(output)
    return torch.ops.aixmeg_emulated_lists


@DTYPES
@pytest.mark.parametrize("copied", [True, False])
def test_the_binding_passes_every_argument(binding, dtype, copied):
    cpu = torch.ops.aixmeg
    shapes = [(3, 5), (0,), (2, 64)]
    grads = [torch.randn(shape).to(dtype) for shape in shapes[:2]] + [torch.randn(64, 2).to(dtype).t()]
    lists = [
        [torch.randn(shape) for shape in shapes],
        [torch.randn(shape).to(dtype) for shape in shapes],
        [torch.rand(shape) for shape in shapes],
        [torch.zeros(shape, dtype=BF16) for shape in shapes] if copied else [],
    ]
    again = [[tensor.clone() for tensor in tensors] for tensors in lists]
    for ops, (params, moments, seconds, copies) in ((binding, lists), (cpu, again)):
        for step, decoupled in ((1, True), (2, False)):
            ops.multi_tensor_adamw(
                params, grads, moments, seconds, copies, 0.01, 0.8, 0.95, 1e-6, 0.1, step, copied, decoupled
            )
    for mine, other in zip(lists, again, strict=True):
        for one, two in zip(mine, other, strict=True):
            # The same float32 formula with or without fused multiply-add; one unit in the last place of bfloat16.
            torch.testing.assert_close(one, two, rtol=2.0**-7 if one.dtype == BF16 else 1e-5, atol=1e-6)
    for per_tensor in (True, False):
        for one, two in zip(
            binding.multi_tensor_l2_norm(grads, per_tensor), cpu.multi_tensor_l2_norm(grads, per_tensor), strict=True
        ):
            torch.testing.assert_close(one, two, rtol=1e-6, atol=0)
    targets, flag = [torch.empty(shape) for shape in shapes], torch.zeros(1, dtype=torch.int32)
    binding.multi_tensor_scale(grads, targets, flag, 0.5)
    assert all(torch.equal(target, grad.float() * 0.5) for target, grad in zip(targets, grads, strict=True))
    assert flag.item() == 0
    binding.multi_tensor_scale(grads, targets, flag, float("inf"))
    assert flag.item() == 1


def test_mistakes_through_the_binding_are_exceptions(binding):
    one, two = torch.ones(4), torch.ones(5)
    settings = (0.01, 0.9, 0.95, 1e-8, 0.1, 1, True, True)
    with pytest.raises(RuntimeError, match="grads has the wrong shape"):
        binding.multi_tensor_adamw([one], [two], [one], [one], [], *settings)
    with pytest.raises(RuntimeError, match="exp_avgs has 2 tensors, the first list 1"):
        binding.multi_tensor_adamw([one], [one], [one, one], [one], [], *settings)
    with pytest.raises(RuntimeError, match="found_inf is not one int32"):
        binding.multi_tensor_scale([one], [one], torch.zeros(1), 1.0)
    with pytest.raises(RuntimeError, match="no tensors|no tensor arguments"):
        binding.multi_tensor_l2_norm([], False)
