"""Run directories for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import MODELS, make_run

Runs = Callable[..., Path]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Path) -> Runs:
    """`runs("grouped", precision="fp32")`: a run directory, made at its first use. Do not change what is in it."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name: str, precision: str = "fp32") -> Path:
        path = folder / f"{name}-{precision}"
        return path if path.exists() else make_run(path, MODELS[name], tiny_tokenizer, precision=precision)

    return run
