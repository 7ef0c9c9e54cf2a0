"""Small source trees, and what is true of every build of them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from aixmeg.config import CorpusConfig


def write_tree(root: Path, files: dict[str, str | bytes]) -> Path:
    """Write files under `root`, by relative path."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def python_file(index: int, functions: int = 4) -> str:
    """Valid, distinct source."""
    return "".join(f"def function_{index}_{number}(x):\n    return x + {number}\n\n\n" for number in range(functions))


def plain() -> dict[str, Any]:
    """Settings of a build by one worker in which every step is off."""
    sections = {one.name: getattr(CorpusConfig(), one.name) for one in dataclasses.fields(CorpusConfig)}
    off = {name: dataclasses.replace(one, enabled=False) for name, one in sections.items() if hasattr(one, "enabled")}
    return {"min_file_bytes": 1, "workers": 1} | off


def corpus_digest(folder: Path) -> dict[str, str]:
    """Digest of each file of each shard."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("shard-*"))}


def check_nothing_lost(report: dict[str, Any]) -> None:
    """Files and bytes found are those kept and those dropped."""
    for unit in ("files", "bytes"):
        dropped = sum(one[unit] for one in report["dropped"].values())
        assert report["found"][unit] == report["kept"][unit] + dropped
        assert report["kept"][unit] == sum(one[unit] for one in report["by_language"].values())
    assert list(report["examples"]) == list(report["dropped"])
    left = report["funnel"][-1]["left"] if report["funnel"] else report["found"]
    assert (left["files"], left["bytes"]) == (report["kept"]["files"], report["kept"]["bytes"])
