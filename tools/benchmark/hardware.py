"""What a benchmark ran on: kept with every result."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path


def describe() -> dict[str, str | int]:
    """Processor, cores, Python, commit (with a mark when the tree was changed) and date."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    changed = " with changes" if _git("status", "--porcelain", "--", "aixmeg", "csrc") else ""
    return {
        "cpu": f"{model} ({platform.machine()})",
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "commit": os.environ.get("AIXMEG_COMMIT") or _git("rev-parse", "HEAD") + changed,  # of a copy of the tree
        "date": datetime.now(UTC).date().isoformat(),
    }


def _git(*words: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
