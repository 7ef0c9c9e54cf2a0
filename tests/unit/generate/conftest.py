"""Tokenizer and run directory for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from aixmeg.tokenizer import CodeTokenizer


@pytest.fixture(scope="session")
def tokenizer(tiny_tokenizer: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny_tokenizer)
