"""setup.py and the source of tree-sitter's core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def setup(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AIXMEG_")}
    return subprocess.run(
        [sys.executable, "setup.py", *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120,
        env={**kept, "AIXMEG_CUDA": "0", **environment},
    )  # fmt: skip


@pytest.mark.parametrize("release", [None, "0.1.0"])
def test_a_folder_that_is_not_the_installed_release_is_named(release: str | None, tmp_path: Path) -> None:
    if release is not None:
        core = tmp_path / "tree_sitter" / "core" / "lib" / "src"
        core.mkdir(parents=True)
        (core / "lib.c").touch()
        (tmp_path / "PKG-INFO").write_text(f"Metadata-Version: 2.4\nName: tree-sitter\nVersion: {release}\n")
    result = setup("--name", AIXMEG_TREE_SITTER_DIR=str(tmp_path))
    assert result.returncode != 0
    assert f"AIXMEG_TREE_SITTER_DIR={tmp_path} is not the source of tree-sitter 0.26." in result.stderr
