"""Loading, the choice of the instruction set, independence of threads."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aixmeg import ops
from aixmeg.errors import UserError
from aixmeg.ops import library

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ISAS = ("generic", "avx2", "avx512")


def run_python(*arguments, isa=None):
    environment = {key: value for key, value in os.environ.items() if key != "AIXMEG_CPU_ISA"}
    if isa is not None:
        environment["AIXMEG_CPU_ISA"] = isa
    environment["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def supported():
    """The instruction sets of this machine, from the message that refuses an unknown one."""
    result = run_python("-c", "import aixmeg.ops; aixmeg.ops.load()", isa="sse9")
    assert result.returncode == 1
    refusal = "UserError: AIXMEG_CPU_ISA=sse9 names no instruction set that this machine runs; choose one of: "
    message = re.search(refusal + r"([^,]+(, \w+)*), or unset it", result.stderr)
    assert message, result.stderr
    names = message[1].split(", ")
    assert names[-1] == "generic"
    assert set(names) <= set(ISAS)
    return names


def test_an_empty_choice_is_an_error_too(supported):
    result = run_python("-c", "import aixmeg.ops; aixmeg.ops.load()", isa="")
    assert "AIXMEG_CPU_ISA= names no instruction set" in result.stderr


def test_without_a_choice_the_fastest_is_taken(supported):
    result = run_python("-c", "import aixmeg.ops; print(aixmeg.ops.resolved()['swiglu'])")
    assert result.stdout.strip() == f"csrc cpu ({supported[0]})"


@pytest.mark.parametrize("isa", ISAS)
def test_every_instruction_set_is_right(supported, isa):
    """The float64 tests of every op again, in a process with that choice."""
    if isa not in supported:
        pytest.skip(f"this processor has no {isa} instructions")
    if ops.resolved()["swiglu"].endswith(f"({isa})"):
        return  # what the other test files of this process run on
    files = [str(HERE / f"test_ops_{name}.py") for name in library.OPS]
    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-k", "float64 or nothing or nan", *files]
    program = f"import pytest, aixmeg.ops; print(aixmeg.ops.resolved()); raise SystemExit(pytest.main({arguments}))"
    result = run_python("-c", program, isa=isa)
    assert result.returncode == 0, result.stdout[-3000:]
    assert result.stdout.count(f"csrc cpu ({isa})") == len(library.OPS)
    passed = re.search(r"(\d+) passed", result.stdout)
    assert passed and int(passed[1]) > 200


def test_resolved_names_every_op():
    names = {"rms_norm", "swiglu", "rotary", "rotary_qkv", "cross_entropy", "linear_cross_entropy", "fp8", "optimizer"}
    assert set(ops.resolved()) == names
    assert all(value.startswith("csrc ") and "cpu (" in value for value in ops.resolved().values())


def test_a_missing_extension_is_an_error_with_the_build_command(tmp_path):
    """A copy of the package without the compiled library: references work, ops say what to do."""
    package = tmp_path / "aixmeg"
    (package / "ops").mkdir(parents=True)
    for name in ("__init__.py", "errors.py"):
        (package / name).write_bytes((ROOT / "aixmeg" / name).read_bytes())
    for path in (ROOT / "aixmeg" / "ops").glob("*.py"):
        (package / "ops" / path.name).write_bytes(path.read_bytes())
    program = """
import torch
from aixmeg import ops
from aixmeg.errors import UserError
x, w = torch.ones(2, 4), torch.ones(4)
ops.reference_rms_norm(x, w, 1e-5)
for call in (ops.load, ops.resolved, lambda: ops.rms_norm(x, w, 1e-5), lambda: ops.swiglu(x)):
    try:
        call()
    except UserError as error:
        print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 4, result.stderr
    assert all("python setup.py build_ext --inplace" in line for line in lines)

    (package / "ops" / "_cpu.so").write_text("not a library")
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=300
    )
    assert result.stdout.count("do not load") == 4, result.stderr


def test_a_cuda_tensor_without_cuda_kernels_is_named(monkeypatch):
    monkeypatch.setattr(library, "_HAS_CUDA", False)

    class OnGpu:
        dtype, device, is_cuda = torch.float32, "cuda:0", True

    with pytest.raises(UserError, match="x is on cuda:0, but the CUDA kernels are not built; .* AIXMEG_CUDA=1"):
        library.check_kernel_input("swiglu", "x", OnGpu())  # type: ignore[arg-type]


def run_all_ops(dtype):
    """Outputs and gradients of every op, large enough that torch shares the work between threads."""
    torch.manual_seed(0)
    x = torch.randn(300, 1, 1024, dtype=dtype, requires_grad=True)
    weight = torch.randn(1024, dtype=dtype, requires_grad=True)
    target = torch.randint(0, 1024, (300, 1))
    results = [
        ops.rms_norm(x, weight, 1e-5),
        *ops.add_rms_norm(x, x.flip(0), weight, 1e-5),
        ops.swiglu(x),
        *ops.rotary_qkv(x.view(300, 1, 2, 512), *ops.rotary_tables(300, 128, 1e4)),
        ops.rotary(x.view(300, 1, 8, 128), *ops.rotary_tables(300, 128, 1e4)),
        ops.vocab_parallel_cross_entropy(x, target),
    ]
    torch.autograd.backward(results, [torch.randn(result.shape).to(result.dtype) for result in results])
    return [*(result.detach() for result in results), x.grad, weight.grad]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_results_do_not_depend_on_the_number_of_threads(dtype):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = run_all_ops(dtype)
        for count in (2, 3):
            torch.set_num_threads(count)
            for mine, other in zip(alone, run_all_ops(dtype), strict=True):
                assert torch.equal(mine, other)
    finally:
        torch.set_num_threads(threads)
