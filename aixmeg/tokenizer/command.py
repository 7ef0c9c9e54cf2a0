"""`aixmeg tokenizer train`: corpus to tokenizer folder, checked on files it was not trained on."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aixmeg.errors import UserError
from aixmeg.files import replace_folder, write_error, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from aixmeg.config import Config
    from aixmeg.corpus import SourceFile
    from aixmeg.tokenizer.check import Checked
    from aixmeg.tokenizer.sample import Sample

REPORT_FILE = "tokenizer_report.json"
_OUR_FILES = {
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    REPORT_FILE,
}


def train(config: Config) -> dict[str, Any]:
    """Train on the corpus of `config.paths` and replace its tokenizer folder, or leave that as it is.

    Returns:
        The report, also written to tokenizer_report.json.

    Raises:
        UserError: no corpus, an impossible vocabulary, a tokenizer that fails its check, or a folder with other files.
    """
    from rich.console import Console

    folder = config.paths.at("tokenizer").resolve()
    _refuse_foreign_files(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    console = Console(stderr=True)
    try:
        temporary.mkdir(parents=True)
        report = _train_into(temporary, config, console)
        replace_folder(temporary, folder)
    except OSError as error:
        raise write_error(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _print_summary(report, folder)
    return report


def _train_into(folder: Path, config: Config, console: Console) -> dict[str, Any]:
    """Sample, train, export and check."""
    from aixmeg.corpus import read_corpus
    from aixmeg.tokenizer.check import check_folder
    from aixmeg.tokenizer.code_tokenizer import MODEL_FILE
    from aixmeg.tokenizer.export import export_hf
    from aixmeg.tokenizer.sample import choose, document_key
    from aixmeg.tokenizer.train import train_sentencepiece

    started = time.monotonic()
    options = config.tokenizer
    corpus = config.paths.at("corpus")

    def keyed() -> Iterator[tuple[int, SourceFile]]:
        for file in read_corpus(corpus):
            yield document_key(options.seed, file.repository, file.path), file

    sample = choose(((key, file.bytes) for key, file in keyed()), options.max_training_bytes)
    held_out: list[tuple[str, str, str]] = []

    def training_texts() -> Iterator[str]:
        for key, file in keyed():
            if sample.checks(key):
                held_out.append((f"{file.repository}/{file.path}", file.language, file.text))
            if sample.trains_on(key):
                yield file.text

    size = f"{sample.train_files:,} files, {sample.train_bytes / 1e6:.1f} MB"
    with _phase(console, f"tokenizer: training {options.vocab_size:,} pieces on {size}"):
        train_sentencepiece(training_texts(), folder / MODEL_FILE, vocab_size=options.vocab_size)
    export_hf(folder / MODEL_FILE, folder)
    with _phase(console, f"tokenizer: checking {len(held_out):,} {'held-out ' * sample.held_out}files"):
        checked = check_folder(folder, held_out)
    report = _report(folder, sample, checked, time.monotonic() - started)
    write_json(folder / REPORT_FILE, report)
    return report


def _report(folder: Path, sample: Sample, checked: Checked, seconds: float) -> dict[str, Any]:
    """What a reader of the run wants to know of the tokenizer."""
    from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

    tokenizer = CodeTokenizer.from_folder(folder)
    return {
        "vocab_size": tokenizer.vocab_size,
        "bytes_per_token": round(checked.bytes_per_token, 4),
        "files_checked": checked.files,
        "bytes_checked": checked.bytes,
        "held_out": sample.held_out,
        "by_language": {
            language: {"bytes": size, "bytes_per_token": round(size / max(checked.tokens_of[language], 1), 4)}
            for language, size in sorted(checked.bytes_of.items())
        },
        "training_files": sample.train_files,
        "training_bytes": sample.train_bytes,
        "seconds": round(seconds, 2),
        "sha256": tokenizer.sha256,
    }


def _phase(console: Console, text: str) -> Any:
    """Show what is running: a spinner on a terminal, one line elsewhere."""
    if not console.is_terminal:
        console.print(text, highlight=False)
    return console.status(text)


def _refuse_foreign_files(folder: Path) -> None:
    """The folder is replaced as a whole, so it must hold nothing but an older tokenizer."""
    try:
        foreign = sorted({entry.name for entry in folder.iterdir()} - _OUR_FILES) if folder.exists() else []
    except OSError as error:
        raise UserError(
            f"{folder} is no folder that can be read ({error.strerror}); choose another paths.tokenizer"
        ) from error
    if foreign:
        raise UserError(
            f"{folder} holds {', '.join(foreign[:5])}{', …' * (len(foreign) > 5)}, and training a tokenizer replaces "
            "the whole folder; choose another paths.tokenizer"
        )


def _print_summary(report: dict[str, Any], folder: Path) -> None:
    """Three lines on standard output."""
    from rich.console import Console

    console = Console(highlight=False)
    kind = "held-out files" if report["held_out"] else "files of its training text"
    console.print(
        f"[bold]tokenizer[/bold] {report['vocab_size']:,} pieces from {report['training_bytes'] / 1e6:.1f} MB "
        f"in {report['seconds']:.1f} s, [bold]{report['bytes_per_token']:.2f}[/bold] bytes per token"
    )
    console.print(f"{report['files_checked']:,} {kind}: text comes back, Hugging Face gives the same ids")
    console.print(str(folder), markup=False)
