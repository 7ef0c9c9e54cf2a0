"""Fixtures: an empty folder for a run, and a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_run import fill

from aixmeg.config import Config, PathsConfig


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Paths below an empty folder."""
    return Config(paths=PathsConfig(root=tmp_path))


@pytest.fixture
def whole_run(config: Config) -> Config:
    """A run with every part."""
    fill(config)
    return config
