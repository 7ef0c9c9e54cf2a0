"""A node with NVIDIA GPUs, as far as NVML's own binding can tell: a library built here and a file of values."""

import atexit
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

SOUND = {
    "utilization": 97, "memory": 4 << 20, "milliwatts": 650_000, "millijoules": 5_000_000, "reasons": 0x4,
    "width": 16, "max_width": 16, "temperature": 61, "clock": 1755, "corrected": 3, "uncorrected": 0, "pending": 0,
    "failed": 0, "links": 0x3FFFF,
}  # fmt: skip


@cache
def library() -> Path:
    """Folder with libnvidia-ml.so.1, for LD_LIBRARY_PATH."""
    folder = Path(mkdtemp(prefix="aixmeg-nvml-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    source = Path(__file__).with_name("fake_nvml.c")
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-o", folder / "libnvidia-ml.so.1", source], check=True)
    return folder


def write_gpus(path: Path, *gpus: dict[str, int], **node: int) -> None:
    """What the GPUs of the node say from now on; `node`: broken=1."""
    lines = [f"gpus {len(gpus)}", *(f"{key} {value}" for key, value in node.items())]
    lines += [f"{index} {key} {value}" for index, gpu in enumerate(gpus) for key, value in gpu.items()]
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)


def environment(path: Path) -> dict[str, str]:
    """Of a process on that node."""
    return {**os.environ, "LD_LIBRARY_PATH": str(library()), "FAKE_NVML": str(path)}


def run(path: Path, code: str) -> str:
    """What a Python program prints on that node."""
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment(path), capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
