"""Fixtures that several packages' tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from stdlib_sources import stdlib_files

os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts the tests with `&` has them ignore Ctrl-C, and their children with them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test is timed: on a busy machine any example may take a second.
settings.register_profile("aixmeg", deadline=None)
settings.load_profile("aixmeg")


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a tokenizer of 1,024 pieces, trained on standard-library modules, and its Hugging Face form."""
    from aixmeg.tokenizer.export import export_hf
    from aixmeg.tokenizer.train import train_sentencepiece

    folder = tmp_path_factory.mktemp("tiny_tokenizer")
    texts = [path.read_bytes().decode("utf-8") for path in stdlib_files()[:40]]
    train_sentencepiece(texts, folder / "tokenizer.model", vocab_size=1024)
    export_hf(folder / "tokenizer.model", folder)
    return folder
