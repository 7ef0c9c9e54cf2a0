"""Which code a run was started with: release, commit, and what was changed since."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import aixmeg

_LONGEST_DIFF = 2_000_000
"""Bytes; a longer one is data that somebody committed by mistake."""


def code_version() -> tuple[dict[str, Any], bytes]:
    """(what to write down, the difference to the commit).

    The commit and what differs are there when the code runs from a git checkout. Addresses of remotes are not: they
    may hold passwords.
    """
    folder = Path(aixmeg.__file__).resolve().parents[1]
    facts: dict[str, Any] = {"aixmeg": aixmeg.__version__, "folder": str(folder)}
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None or not (folder / ".git").exists():
        return {**facts, "commit": None}, b""
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff", "--submodule=short") or b""
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard") or b""
    facts |= {
        "commit": commit.decode().strip(),
        "changed": bool(diff),
        "untracked": untracked.decode(errors="replace").splitlines()[:100],
    }
    if len(diff) > _LONGEST_DIFF:
        diff = diff[:_LONGEST_DIFF] + b"\n... cut: the difference is longer\n"
    return facts, diff


def _git(folder: Path, *words: str) -> bytes | None:
    """Output of a git command, None where it fails or git is absent."""
    command = ["git", "-C", str(folder), *words]
    try:
        result = subprocess.run(command, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None
