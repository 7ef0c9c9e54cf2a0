"""Table of the CUDA kernels: registers, shared memory and the widest memory access, as nvcc compiled them.

    python tools/kernel_table.py [--nvcc nvcc] [--out docs/kernels.md]

Every .cu file of csrc/cuda is compiled for sm_80, sm_90 and sm_100 with the flags of setup.py. Registers, spills and
static shared memory are ptxas's report; threads and accesses are read from the PTX: a pack of 16 bytes is a `.v4` of
32-bit words. What a kernel asks for at its launch (dynamic shared memory) stands beside the launch in the source.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from aixmeg.errors import UserError
from aixmeg.files import atomic_write

ROOT = Path(__file__).parents[1]
ARCHITECTURES = (80, 90, 100)
FLAGS = ("-O3", "-std=c++17", "-Werror=all-warnings", "-Xptxas=-v", "-Xcompiler=-fPIC", "--keep")
_COMPILED = re.compile(
    r"Compiling entry function '(\w+)' for 'sm_(\d+)'.*?"
    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)
_ENTRY = re.compile(r"\.entry (\w+)\((.*?)\n}", re.DOTALL)
_ACCESS = re.compile(r"(ld|st)\.global(?:\.\w+)*?(?:\.(v[24]))?\.[busf](8|16|32|64)\b")


@dataclass
class Kernel:
    """One instance of a kernel."""

    file: str
    name: str
    """Mangled."""
    registers: dict[int, int] = field(default_factory=dict)
    """By architecture."""
    spilled: int = 0
    """Bytes of stack and of spills, over all architectures."""
    static_shared: int = 0
    dynamic_shared: bool = False
    threads: int = 0
    """Most threads of a block; 0: not bounded."""
    load_bytes: int = 0
    """Of the widest access to global memory."""
    store_bytes: int = 0


def compile_kernels(source: Path, nvcc: str, folder: Path) -> list[Kernel]:
    """Compile one file and read what came out.

    Raises:
        UserError: it does not compile, or warns.
    """
    codes = [f"-gencode=arch=compute_{one},code=sm_{one}" for one in ARCHITECTURES]
    command = [nvcc, *FLAGS, *codes, f"--keep-dir={folder}", "-c", str(source), "-o", str(folder / "out.o")]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise UserError(f"{source.name} does not compile: {done.stdout.strip()[:2000]}")
    ptx = next(folder.glob(f"{source.stem}*compute_{ARCHITECTURES[1]}*.ptx")).read_text()
    return read_kernels(source.name, done.stdout, ptx)


def read_kernels(file: str, report: str, ptx: str) -> list[Kernel]:
    """Kernels of ptxas's report and of the PTX of one architecture, in the report's order."""
    found: dict[str, Kernel] = {}
    for name, architecture, stack, stores, loads, registers, rest in _COMPILED.findall(report):
        kernel = found.setdefault(name, Kernel(file, name))
        kernel.registers[int(architecture)] = int(registers)
        kernel.spilled += int(stack) + int(stores) + int(loads)
        shared = re.search(r"(\d+) bytes smem", rest)
        kernel.static_shared = max(kernel.static_shared, int(shared[1]) if shared else 0)
    externs = re.findall(r"\.extern \.shared [^;]*?(\w+)\[\]", ptx)
    for name, body in _ENTRY.findall(ptx):
        kernel = found[name]
        bound = re.search(r"\.maxntid (\d+)", body)
        kernel.threads = int(bound[1]) if bound else 0
        kernel.dynamic_shared = any(extern in body for extern in externs)
        for kind, vector, bits in _ACCESS.findall(body):
            size = int(bits) // 8 * int((vector or "v1")[1:])
            if kind == "ld":
                kernel.load_bytes = max(kernel.load_bytes, size)
            else:
                kernel.store_bytes = max(kernel.store_bytes, size)
    return list(found.values())


def demangled(names: list[str]) -> list[str]:
    """Readable names: `forward_kernel<float, 4>`."""
    filt = shutil.which("c++filt") or shutil.which("cu++filt")
    if filt is None:
        return names
    lines = subprocess.run([filt], input="\n".join(names), capture_output=True, text=True, check=True).stdout
    return [_short(line) for line in lines.splitlines()]


def _short(name: str) -> str:
    name = re.sub(r"\(anonymous namespace\)::|aixmeg::cuda::|aixmeg::|^void ", "", name)
    name = name.replace("__nv_bfloat16", "bfloat16")
    depth, end = 0, len(name)
    for place, letter in enumerate(name):  # up to the parameters
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = place
            break
    return name[:end]


def table(kernels: list[Kernel], release: str) -> str:
    """The page, as Markdown."""
    lines = [
        "# CUDA kernels as compiled",
        "",
        f"Written by `python tools/kernel_table.py` with {release}. Registers on sm_80 / sm_90 / sm_100; none spills.",
        "Widest accesses to global memory in bytes: 16 is the most a thread moves at once; instances for one element",
        "serve rows or pointers that are not aligned. Shared memory is dynamic, sized at the launch.",
        "",
        "| file | kernel | registers | most threads | shared | load | store |",
        "|---|---|---|---|---|---|---|",
    ]
    for kernel, name in zip(kernels, demangled([one.name for one in kernels]), strict=True):
        shared = "dynamic" if kernel.dynamic_shared else f"{kernel.static_shared} B" if kernel.static_shared else "–"
        registers = " / ".join(str(kernel.registers.get(one, "")) for one in ARCHITECTURES)
        lines.append(
            f"| {kernel.file} | `{name}` | {registers} | {kernel.threads or '–'} | {shared} "
            f"| {kernel.load_bytes or '–'} | {kernel.store_bytes or '–'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compile, write the table; a spill is an error."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "kernels.md")
    arguments = parser.parse_args()
    kernels: list[Kernel] = []
    with tempfile.TemporaryDirectory() as folder:
        for source in sorted((ROOT / "csrc" / "cuda").glob("*.cu")):
            place = Path(folder) / source.stem
            place.mkdir()
            kernels += compile_kernels(source, arguments.nvcc, place)
    version = subprocess.run([arguments.nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    release = re.search(r"release ([\d.]+)", version)
    with atomic_write(arguments.out, "w") as file:
        file.write(table(kernels, f"nvcc {release[1] if release else 'of an unknown release'}"))
    spilled = [one.name for one in kernels if one.spilled]
    if spilled:
        raise UserError(f"registers are spilled by {', '.join(demangled(spilled))}; lower what a thread holds")
    print(f"{len(kernels)} kernels: {arguments.out}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
