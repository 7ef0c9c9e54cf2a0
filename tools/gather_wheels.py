"""Gather the wheels that `make gpu-check` needs on a machine without network: all but torch, which is there.

    python tools/gather_wheels.py .wheels [--python 3.12]

The newest releases that pyproject.toml allows, for manylinux on x86-64 and that Python. `tools/gpu_check.py --wheels
.wheels` unpacks them into a folder of its own there; nothing of that machine is changed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from aixmeg.errors import UserError

ROOT = Path(__file__).parents[1]
ALONE = ("megatron-core", "pytest", "pluggy", "iniconfig", "packaging", "rich", "markdown-it-py", "mdurl", "pygments",
         "pyyaml", "numpy", "einops")  # fmt: skip
"""What building a model and running tests/gpu imports; without what they need, which would bring another torch."""
WITH_NEEDS = ("pydantic",)
"""Packages that name one release of another."""
_GLIBC = (39, 36, 35, 34, 31, 28, 27, 24, 17)


def requirement(name: str) -> str:
    """The name with pyproject.toml's bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in project["dependencies"]:
        found = re.match(r"[\w.-]+", line)
        if found and found[0].lower().replace("_", "-") == name:
            return line.partition(";")[0].strip()
    return name


def gather(folder: Path, python: str) -> None:
    """Download into `folder`.

    Raises:
        UserError: a package has no wheel for that Python.
    """
    folder.mkdir(parents=True, exist_ok=True)
    platforms = [f"--platform=manylinux_2_{version}_x86_64" for version in _GLIBC]
    for names, more in ((ALONE, ["--no-deps"]), (WITH_NEEDS, [])):
        command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check",
                   "--only-binary=:all:", f"--python-version={python}", "--implementation=cp", *platforms,
                   "--platform=manylinux2014_x86_64", *more, f"--dest={folder}", *map(requirement, names)]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"no wheels of {', '.join(names)} for Python {python}: {done.stderr.strip()[-400:]}")


def main() -> None:
    """Gather and say what came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of the other machine's Python")
    arguments = parser.parse_args()
    gather(arguments.folder, arguments.python)
    wheels = sorted(arguments.folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels)
    print(f"{len(wheels)} wheels, {size / 1e6:.0f} MB in {arguments.folder}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
