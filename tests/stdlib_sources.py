"""Real source files that every machine has."""

import sysconfig
from pathlib import Path


def stdlib_files(pattern: str = "*.py") -> list[Path]:
    """Files of Python's standard library, by path."""
    return sorted(Path(sysconfig.get_paths()["stdlib"]).glob(pattern))
