"""Builds of small source trees, with no step but those that a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from corpus_trees import check_nothing_lost, plain

from aixmeg.config import CorpusConfig
from aixmeg.corpus.build import build_corpus


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """`build(source, **settings)`: a corpus in tmp_path/corpus, checked for completeness of its counts."""

    def run(*sources: Path, output: Path = tmp_path / "corpus", **settings: Any) -> dict[str, Any]:
        config = CorpusConfig(sources=sources, **plain() | settings)
        report = build_corpus(config, output)
        check_nothing_lost(report)
        return report

    return run
