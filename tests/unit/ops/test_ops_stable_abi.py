"""The built extension asks torch for nothing but the stable ABI of the oldest torch that it is to load with.

That torch's C functions are what the installed torch's headers declare with TORCH_TARGET_VERSION set to it.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import aixmeg.ops

ROOT = Path(__file__).parents[3]
LIBRARY = Path(aixmeg.ops.__file__).parent / "_cpu.so"
SYSTEM = re.compile(r"@(GLIBC|GLIBCXX|CXXABI|GCC)_|^(__gmon_start__|__cxa_finalize|_ITM_\w+)$")
"""What the C and C++ libraries bring, by their versions."""
HEADERS = ("torch/csrc/inductor/aoti_torch/c/shim.h", "torch/csrc/stable/c/shim.h")

pytestmark = pytest.mark.skipif(shutil.which("nm") is None, reason="nm (binutils) reads the library's symbols")


def declared(version):
    """Names of the functions that torch's C headers declare for a target version such as 0x020b000000000000."""
    found = subprocess.run(
        ["g++", "-E", "-P", "-x", "c++", "-std=c++17", f"-DTORCH_TARGET_VERSION={version}",
         "-I", str(Path(torch.__file__).parent / "include"), "-"],
        input="".join(f"#include <{name}>\n" for name in HEADERS), check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(re.findall(r"\b(?:aoti_)?torch_\w+(?=\s*\()", found.stdout))


def undefined(library):
    """Names that a library expects of others, without those of the system's libraries."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", library], check=True, capture_output=True, text=True)
    return {name for line in listed.stdout.splitlines() if not SYSTEM.search(name := line.split()[-1])}


def oldest():
    """setup.py's target version."""
    return re.search(r'^STABLE_ABI = "(0x\w+)"', (ROOT / "setup.py").read_text(), re.MULTILINE)[1]


def test_the_target_is_torch_2_11():
    assert oldest() == "0x020b000000000000"


def test_headers_tell_versions_apart():
    assert declared(oldest()) < declared("0x020d000000000000")


def test_only_stable_functions_of_the_oldest_torch_are_used():
    used = undefined(LIBRARY)
    assert {"torch_call_dispatcher", "aoti_torch_library_impl", "torch_library_impl"} & used
    assert used <= declared(oldest()), f"not in the stable ABI of torch 2.11: {sorted(used - declared(oldest()))}"


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("namespace c10 { void warn(); } void f() { c10::warn(); }", "_ZN3c104warnEv"),
        ('extern "C" int torch_of_tomorrow(); int f() { return torch_of_tomorrow(); }', "torch_of_tomorrow"),
    ],
)
def test_other_functions_would_be_found(tmp_path, body, name):
    library = tmp_path / "other.so"
    subprocess.run(["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)], input=body, text=True, check=True)
    assert undefined(library) - declared(oldest()) == {name}
