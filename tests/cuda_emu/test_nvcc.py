"""nvcc accepts every .cu file for the GPUs we support: no warning, no register spill, 16-byte accesses."""

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
from cuda_emulated import CSRC, KERNELS

ROOT = CSRC.parent
_spec = importlib.util.spec_from_file_location("kernel_table", ROOT / "tools" / "kernel_table.py")
kernel_table = importlib.util.module_from_spec(_spec)
sys.modules["kernel_table"] = kernel_table
_spec.loader.exec_module(kernel_table)

NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
ARCHITECTURES = (80, 90, 100)

pytestmark = pytest.mark.skipif(NVCC is None, reason="nvcc is not installed: only the emulator compiles them")


@pytest.fixture(scope="module")
def compilations(tmp_path_factory):
    """name -> (finished process, folder with its PTX), two at a time."""
    folder = tmp_path_factory.mktemp("nvcc")
    flags = ["-O3", "-std=c++17", "-Werror=all-warnings", "-Xptxas=-v", "-Xcompiler=-fPIC", "--keep"]
    flags += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHITECTURES]
    results = {}
    for first in range(0, len(KERNELS), 2):
        running = {}
        for name in KERNELS[first : first + 2]:
            kept = folder / name
            kept.mkdir()
            command = [NVCC, *flags, f"--keep-dir={kept}", "-c", str(CSRC / "cuda" / f"{name}.cu")]
            running[name] = subprocess.Popen(
                [*command, "-o", str(kept / "out.o")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
        for name, process in running.items():
            output, _ = process.communicate(timeout=300)
            results[name] = (process.returncode, output, folder / name)
    return results


@pytest.mark.parametrize("name", KERNELS)
def test_compiles_without_warning_or_spill(compilations, name):
    code, output, _ = compilations[name]
    assert code == 0, output
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", output)
    assert len(spills) >= 2 * len(ARCHITECTURES), output
    assert set(spills) == {("0", "0", "0")}, output


@pytest.mark.parametrize("name", KERNELS)
def test_moves_sixteen_bytes_at_a_time(compilations, name):
    """In every kernel compiled for packs, one 128-bit access per pack is what the speed rests on."""
    _, _, folder = compilations[name]
    ptx = next(folder.glob("*compute_90*.ptx")).read_text()
    kernels = re.findall(r"\.entry (\S*kernelI(?:fLi[48]E|\S*bfloat16ELi8E)\S*)\((.*?)\n}", ptx, re.DOTALL)
    assert len(kernels) >= 2
    for kernel, body in kernels:
        assert re.search(r"ld\.global(\.nc)?\.v4\.[ubf]32", body), kernel
        if "statistics" in kernel or "amax" in kernel:  # write few numbers per row; the former read one logit
            continue
        assert re.search(r"st\.global(\.wb)?\.v4", body), kernel
        assert not re.search(r"(ld|st)\.global(\.nc)?\.[ub]16", body), kernel


def test_the_table_in_the_docs_lists_every_kernel(compilations):
    """Registers depend on nvcc's release; which kernels there are, and their access widths, do not."""
    row = re.compile(r"^\| (\w+\.cu) \| `(.+?)` \|.*\| (\S+) \| (\S+) \|$", re.MULTILINE)
    listed = row.findall((ROOT / "docs/kernels.md").read_text())
    found = []
    for name, (_, report, folder) in compilations.items():
        ptx = next(folder.glob("*compute_90*.ptx")).read_text()
        kernels = kernel_table.read_kernels(f"{name}.cu", report, ptx)
        for kernel, readable in zip(kernels, kernel_table.demangled([one.name for one in kernels]), strict=True):
            found.append((kernel.file, readable, str(kernel.load_bytes or "–"), str(kernel.store_bytes or "–")))
    assert sorted(listed) == sorted(found), "run python tools/kernel_table.py"
