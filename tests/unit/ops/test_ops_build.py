"""setup.py: what it compiles again, and what it says when something is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def build(folder, *arguments, **environment):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AIXMEG_") and key != "CXX"}
    return subprocess.run(
        [sys.executable, "setup.py", *(arguments or ("build_ext", "--inplace"))],
        cwd=folder, check=False, capture_output=True, text=True, timeout=300,
        env={**kept, "AIXMEG_CUDA": "0", "MAX_JOBS": "2", **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "LICENSE", "aixmeg/__init__.py", "aixmeg/ops/__init__.py",
                 "aixmeg/native/__init__.py"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "README.md").touch()
    shutil.copytree(ROOT / "csrc", folder / "csrc")
    return folder


def compiled(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return {line.split("/")[-1] for line in result.stdout.splitlines() if line.startswith("compiling ")}


def test_only_what_changed_is_compiled_again(source):
    every = {f"{name}.cpp" for name in ("avx512", "avx512_bf16", "avx2", "generic", "dispatch", "library", "cpu")}
    every |= {path.name for pattern in ("data/*.cpp", "bind/*_cpu.cpp") for path in (ROOT / "csrc").glob(pattern)}
    assert compiled(build(source)) == every
    library = source / "aixmeg" / "ops" / "_cpu.so"
    first = library.read_bytes()
    assert str(source).encode() not in first  # messages name csrc/…, not the machine that built it
    assert compiled(build(source)) == set()

    kernel = source / "csrc" / "cpu" / "swiglu.inc"
    kernel.write_text(kernel.read_text().replace("2 * width", "width * 2"))
    assert compiled(build(source)) == {"avx512.cpp", "avx2.cpp", "generic.cpp"}

    broken = source / "csrc" / "cpu" / "dispatch.cpp"
    text = broken.read_text()
    broken.write_text(text + "\nnonsense\n")
    result = build(source)
    assert result.returncode != 0
    assert "nonsense" in result.stderr
    assert library.exists()
    broken.write_text(text)
    assert compiled(build(source)) == {"dispatch.cpp"}


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CXX": "no-such-compiler"}, "no C++ compiler: no-such-compiler is not on the PATH; install one"),
        ({"AIXMEG_CUDA": "yes"}, "AIXMEG_CUDA=yes is none of auto, 0, 1"),
    ],
)
def test_what_is_missing_is_said_in_one_line(source, environment, message):
    (source / "csrc" / "cpu" / "generic.cpp").touch()
    result = build(source, **environment)
    assert result.returncode != 0
    assert f"aixmeg: {message}" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_torch_the_build_says_how_to_get_it(source, tmp_path):
    """An interpreter that cannot see torch: isolated from site-packages, its paths point at an empty folder."""
    program = (
        "import sys, sysconfig, site, runpy, importlib.util as util\n"
        f"sysconfig.get_path = lambda *a, **k: {str(tmp_path)!r}\n"
        f"site.getusersitepackages = lambda: {str(tmp_path)!r}\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "sys.argv = ['setup.py', 'build_ext']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=source, check=False, capture_output=True, text=True, timeout=300
    )
    assert result.returncode != 0
    assert f"torch is not installed in this environment ({tmp_path}); install torch first: pip install" in result.stderr

    old = tmp_path / "torch" / "version.py"
    old.parent.mkdir()
    old.write_text("__version__ = '2.9.1+cpu'\n")
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=source, check=False, capture_output=True, text=True, timeout=300
    )
    assert "torch 2.9.1+cpu in" in result.stderr
    assert "is older than 2.11" in result.stderr
