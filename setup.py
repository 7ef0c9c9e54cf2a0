"""Builds csrc/: aixmeg/ops/_cpu.so and aixmeg/native/_data.so always, aixmeg/ops/_cuda.so where nvcc and a CUDA torch
are found, aixmeg/native/_syntax.so where the source of tree-sitter's core lies (build/tree-sitter, fetched by make).

torch is found without being imported, so that pip's isolated build, which does not have it on its path, still builds
against the torch of the target environment. An object is compiled again only when its source, a header it includes
or its command changed.

Environment: MAX_JOBS (parallel compilations), CXX, AIXMEG_TREE_SITTER_DIR (unpacked source distribution of
tree-sitter), AIXMEG_TORCH_DIR (folder of the torch package), AIXMEG_CUDA (auto, 1, 0), AIXMEG_CUDA_ARCHS (default
80;90;100), CUDA_HOME or CUDACXX.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CSRC = ROOT / "csrc"
OBJECTS = ROOT / "build" / "csrc"  # not setuptools' temporary folder, which pip empties: repeated builds are fast
STABLE_ABI = "0x020b000000000000"  # torch 2.11, the oldest that the extension runs on
TREE_SITTER_CORE = "tree_sitter/core/lib"  # inside its source distribution
TORCH_ADVICE = "install torch first: pip install torch==2.13.0"
CXX_FLAGS = [
    "-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unknown-pragmas",
    # Vector code as fast as -Ofast allows, without its start-up code that flushes denormals in the whole process.
    "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
    f"-DTORCH_TARGET_VERSION={STABLE_ABI}", f"-ffile-prefix-map={ROOT}/=",  # messages name csrc/…, not this machine
]  # fmt: skip
# For tree-sitter's core: C through the C++ compiler's driver, which every host has. NDEBUG as in its own wheel: with
# assertions, a grammar's fault would end the process here and not there.
C_FLAGS = [
    "-x",
    "c",
    "-std=c11",
    "-O3",
    "-fPIC",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
    "-DNDEBUG",
    "-D_DEFAULT_SOURCE",
]
NVCC_FLAGS = ["-O3", "-std=c++17", "-lineinfo", "-Xcompiler=-fPIC,-fvisibility=hidden", "-Werror=all-warnings"]


class BuildError(SystemExit):
    """Ends the build with one message and no traceback."""

    def __init__(self, message: str) -> None:
        super().__init__(f"aixmeg: {message}")


@dataclass(frozen=True)
class Torch:
    """The torch package that the extension is built against."""

    folder: Path
    version: str

    @property
    def has_cuda(self) -> bool:
        return (self.folder / "lib" / "libtorch_cuda.so").exists()


def find_torch() -> Torch:
    """Look where torch would be imported from, without importing it.

    Raises:
        BuildError: no torch, or one older than 2.11.
    """
    spec = importlib.util.find_spec("torch")
    candidates = [
        os.environ.get("AIXMEG_TORCH_DIR"),
        spec and spec.origin and Path(spec.origin).parent,
        # Inside pip's isolated build these still name the target environment.
        Path(sysconfig.get_path("purelib"), "torch"),
        Path(sysconfig.get_path("platlib"), "torch"),
        Path(sysconfig.get_path("purelib", vars={"base": sys.base_prefix}), "torch"),  # venv --system-site-packages
        Path(site.getusersitepackages(), "torch"),
    ]
    for folder in (Path(candidate) for candidate in candidates if candidate):
        version_file = folder / "version.py"
        if not version_file.exists():
            continue
        found = re.search(r"__version__ = '((\d+)\.(\d+)[^']*)'", version_file.read_text())
        if found and (int(found[2]), int(found[3])) < (2, 11):
            raise BuildError(f"torch {found[1]} in {folder} is older than 2.11; {TORCH_ADVICE}")
        if not (folder / "include/torch/csrc/stable/library.h").exists():
            raise BuildError(f"{folder} lacks torch's C++ headers; {TORCH_ADVICE}")
        return Torch(folder, found[1] if found else "unknown")
    raise BuildError(f"torch is not installed in this environment ({sysconfig.get_path('purelib')}); {TORCH_ADVICE}")


def find_compiler() -> str:
    """The C++ compiler's command.

    Raises:
        BuildError: there is none.
    """
    asked = os.environ.get("CXX")
    for command in [asked] if asked else ["g++", "c++"]:
        if shutil.which(shlex.split(command)[0]):
            return command
    raise BuildError(
        f"no C++ compiler: {asked or 'g++'} is not on the PATH; install one (Debian and Ubuntu: apt-get install g++), "
        "or set CXX"
    )


def find_tree_sitter() -> tuple[Path, str] | None:
    """The source of tree-sitter's core and its release, or None: then aixmeg walks syntax trees in Python, slower.

    py-tree-sitter hides the C functions that it holds, so its core is compiled once more, from the source distribution
    of the installed release.

    Raises:
        BuildError: AIXMEG_TREE_SITTER_DIR is no such source.
    """
    asked = os.environ.get("AIXMEG_TREE_SITTER_DIR")
    try:
        wanted = importlib.metadata.version("tree-sitter")
    except importlib.metadata.PackageNotFoundError:  # inside pip's isolated build
        wanted = None
    for folder in [Path(asked)] if asked else sorted((ROOT / "build" / "tree-sitter").glob("tree_sitter-*/")):
        described = folder / "PKG-INFO"
        found = described.exists() and re.search(r"^Version: (\S+)$", described.read_text(), re.MULTILINE)
        if found and (folder / TREE_SITTER_CORE / "src/lib.c").exists() and wanted in (None, found[1]):
            return folder.resolve(), found[1]
    if asked:
        raise BuildError(f"AIXMEG_TREE_SITTER_DIR={asked} is not the source of tree-sitter {wanted}")
    return None


def find_nvcc() -> str | None:
    """The CUDA compiler, or None."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    candidates = [os.environ.get("CUDACXX"), home and f"{home}/bin/nvcc", "nvcc", "/usr/local/cuda/bin/nvcc"]
    return next((found for command in candidates if command and (found := shutil.which(command))), None)


def cuda_wanted(torch: Torch, nvcc: str | None) -> bool:
    """Whether to build _cuda.so: by default where it can run; AIXMEG_CUDA=1 insists, 0 forbids.

    Raises:
        BuildError: AIXMEG_CUDA has another value, or insists where there is no nvcc.
    """
    mode = os.environ.get("AIXMEG_CUDA", "auto")
    if mode not in ("auto", "0", "1"):
        raise BuildError(f"AIXMEG_CUDA={mode} is none of auto, 0, 1")
    if mode == "1" and nvcc is None:
        raise BuildError("AIXMEG_CUDA=1 but nvcc was not found; install the CUDA toolkit, or set CUDA_HOME")
    return mode == "1" or (mode == "auto" and nvcc is not None and torch.has_cuda)


def stale(target: Path, command: list[str]) -> bool:
    """Whether `target` must be made again: its command changed, or something it was made from is newer."""
    command_file, depends = target.with_suffix(".cmd"), target.with_suffix(".d")
    if not (target.exists() and command_file.exists() and depends.exists()):
        return True
    if command_file.read_text() != shlex.join(command):
        return True
    made = target.stat().st_mtime
    names = depends.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return any(not Path(name).exists() or Path(name).stat().st_mtime > made for name in names)


def run(command: list[str]) -> None:
    """Run a compiler.

    Raises:
        BuildError: it failed; the message holds its output.
    """
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise BuildError(f"{shlex.join(command)}\n{result.stdout}{result.stderr}")
    if result.stderr.strip():
        print(result.stderr)


def compile_object(command: list[str], source: Path, target: Path) -> None:
    """Make one object, unless it is up to date."""
    command = [*command, "-c", str(source), "-MMD", "-MF", str(target.with_suffix(".d")), "-o"]
    if not stale(target, command):
        return
    print(f"compiling {source.relative_to(ROOT)}\n", end="", flush=True)  # one write: lines of two threads stay apart
    temporary = target.with_suffix(".part")
    run([*command, str(temporary)])
    temporary.replace(target)
    target.with_suffix(".cmd").write_text(shlex.join(command))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two builds at once in one checkout wait for each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Build(build_ext):
    """Compiles and links with plain commands: no torch import, no ninja."""

    def build_extension(self, ext: Extension) -> None:
        torch, compiler, nvcc = find_torch(), find_compiler(), find_nvcc()
        objects = OBJECTS / ext.name.rpartition(".")[2]
        with locked(objects):
            self.compile_and_link(ext, objects, torch, shlex.split(compiler), nvcc)

    def compile_and_link(
        self, ext: Extension, objects: Path, torch: Torch, compiler: list[str], nvcc: str | None
    ) -> None:
        host = [*compiler, *CXX_FLAGS, "-isystem", str(torch.folder / "include")]
        jobs = []
        for source in (Path(name) for name in ext.sources):
            command = {".cu": [str(nvcc), *NVCC_FLAGS, *gencode()], ".c": [*compiler, *C_FLAGS]}.get(
                source.suffix, host
            )
            includes = [f"-isystem{folder}" for folder in ext.include_dirs]
            defines = [f"-D{name}={value}" for name, value in ext.define_macros]
            jobs.append(([*command, *includes, *defines], ROOT / source, objects / f"{source.name}.o"))
        workers = int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            list(pool.map(lambda job: compile_object(*job), jobs))
        output = Path(self.get_ext_fullpath(ext.name))
        inputs = [target for _, _, target in jobs]
        link = [*compiler, "-shared", *map(str, inputs), *libraries(ext, objects, torch, compiler, nvcc), "-o"]
        made = output.stat().st_mtime if output.exists() else 0.0
        link_file = objects / "link.cmd"
        known = link_file.exists() and link_file.read_text() == shlex.join([*link, str(output)])
        if known and all(path.stat().st_mtime <= made for path in inputs):
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = output.with_name(f".{output.name}.{os.getpid()}.part")
        run([*link, str(temporary)])
        temporary.replace(output)  # a process that has the old one loaded keeps it
        link_file.write_text(shlex.join([*link, str(output)]))
        print(f"built {output}", flush=True)

    def get_ext_filename(self, fullname: str) -> str:
        return fullname.replace(".", "/") + ".so"  # no Python ABI tag: nothing in it depends on Python


def gencode() -> list[str]:
    """nvcc's architecture flags: machine code for each, and PTX of the last for newer GPUs."""
    archs = os.environ.get("AIXMEG_CUDA_ARCHS", "80;90;100").split(";")
    flags = [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in archs]
    return [*flags, f"-gencode=arch=compute_{archs[-1]},code=compute_{archs[-1]}"]


def libraries(ext: Extension, objects: Path, torch: Torch, compiler: list[str], nvcc: str | None) -> list[str]:
    """Linker flags.

    A library that this torch lacks (libtorch_cuda of a CPU build) is replaced by an empty one of the same name: at
    link time only the name counts.
    """
    stubs = objects / "stubs"
    stubs.mkdir(exist_ok=True)
    for name in ext.libraries:
        library = f"lib{name}.so"
        if not (torch.folder / "lib" / library).exists() and not (stubs / library).exists():
            run([*compiler, "-shared", "-x", "c++", "/dev/null", f"-Wl,-soname,{library}", "-o", str(stubs / library)])
    flags = [f"-L{torch.folder}/lib", f"-L{stubs}", "-Wl,--no-as-needed", *(f"-l{name}" for name in ext.libraries)]
    flags += ["-Wl,--as-needed", "-Wl,--exclude-libs,ALL"]
    if any(source.endswith(".cu") for source in ext.sources):
        flags += [f"-L{cuda_library_folder(str(nvcc))}", "-lcudart_static", "-lrt", "-ldl", "-lpthread"]
    return flags


def cuda_library_folder(nvcc: str) -> Path:
    """Where libcudart_static.a lies, asked of nvcc itself, which may be a script far from its toolkit.

    Raises:
        BuildError: the toolkit has no static runtime.
    """
    plan = subprocess.run([nvcc, "-dryrun", "-c", "x.cu"], capture_output=True, text=True, check=False).stderr
    found = re.search(r"^#\$ TOP=(.+)$", plan, re.MULTILINE)
    top = Path(found[1].strip() if found else nvcc).resolve()
    for folder in (top / "lib64", top / "lib", top / "targets/x86_64-linux/lib", top / "targets/sbsa-linux/lib"):
        if (folder / "libcudart_static.a").exists():
            return folder
    raise BuildError(f"no libcudart_static.a near {nvcc} (looked under {top}); install the CUDA toolkit's runtime")


def found(pattern: str) -> list[str]:
    """Files of csrc/ by a glob pattern, in a fixed order."""
    return sorted(str(path.relative_to(ROOT)) for path in CSRC.glob(pattern))


def extensions() -> list[Extension]:
    """What to build here."""
    # All of csrc/, so that a source distribution made on a CPU machine can build the CUDA kernels elsewhere.
    depends = sorted(str(path.relative_to(ROOT)) for path in CSRC.rglob("*") if path.is_file())
    cpu = [f"csrc/cpu/{name}.cpp" for name in ("avx512", "avx512_bf16", "avx2", "generic", "dispatch")]
    cpu += ["csrc/bind/library.cpp", "csrc/bind/cpu.cpp", *found("bind/*_cpu.cpp")]
    built = [Extension("aixmeg.ops._cpu", cpu, libraries=["torch_cpu"], depends=depends)]
    cuda = ["csrc/bind/cuda.cpp", *found("bind/*_cuda.cpp"), *found("cuda/*.cu")]
    # Plain C interfaces for the data path: no torch, no Python.
    data = found("data/*.cpp")
    built.append(Extension("aixmeg.native._data", data, depends=depends))
    if source := find_tree_sitter():
        core, release = source[0] / TREE_SITTER_CORE, f'"{source[1]}"'
        syntax = found("syntax/*.c")
        built.append(
            Extension(
                "aixmeg.native._syntax",
                syntax,
                depends=depends,
                include_dirs=[str(core / "include"), str(core / "src")],
                define_macros=[("AIXMEG_TREE_SITTER", release)],
            )
        )
    if cuda_wanted(find_torch(), find_nvcc()):
        built.append(Extension("aixmeg.ops._cuda", cuda, libraries=["torch_cpu", "torch_cuda"], depends=depends))
    return built


setup(ext_modules=extensions(), cmdclass={"build_ext": Build}, options={"bdist_wheel": {"py_limited_api": "cp311"}})
