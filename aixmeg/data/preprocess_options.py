"""The arguments of tools/preprocess_data.py: Megatron-LM's own names, and what becomes of each.

Every option of Megatron's tool is known here: taken, accepted without effect because the output never depends on it, or
refused with the reason. A tokenizer that is no SentencePiece model is refused with the list of those that are.
"""

from __future__ import annotations

import argparse
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aixmeg.data.preprocess_part import COMPRESSED
from aixmeg.errors import UserError

TOKENIZER_TYPES: Final = ("SentencePieceTokenizer", "GPTSentencePieceTokenizer", "Llama2Tokenizer")
INPUT_ENDINGS: Final = (".jsonl", ".json", *COMPRESSED)
_REFUSED: Final = {
    "--split-sentences": "sentences are split with NLTK's models for prose; code has none. Split the text yourself: a "
    "list of strings in the JSON becomes one sequence each",
    "--keep-newlines": "it belongs to --split-sentences",
    "--find-optimal-num-workers": "use as many --workers as there are cores: they share nothing but the input",
    "--workers-to-check": "it belongs to --find-optimal-num-workers",
    "--max-documents": "it belongs to --find-optimal-num-workers",
    "--performance-dir": "it belongs to --find-optimal-num-workers",
    "--vocab-file": "it belongs to tokenizers that are no SentencePiece model",
    "--merge-file": "it belongs to tokenizers that are no SentencePiece model",
    "--tokenizer-sentencepiece-legacy": "special tokens outside the model have no ids in it; train them as symbols",
    "--special-tokens": "special tokens outside the model have no ids in it; train them as symbols",
}


@dataclass(frozen=True, kw_only=True)
class PreprocessOptions:
    """What a run of tools/preprocess_data.py does."""

    inputs: tuple[Path, ...]
    """Files of one JSON object per line, in the order of their documents."""
    output_prefix: Path
    """Output is PREFIX_KEY_document.bin and .idx."""
    tokenizer_model: Path
    """SentencePiece model of any kind."""
    workers: int = 1
    """Processes; the output does not depend on them."""
    append_eod: bool = False
    """Put the end-of-sentence id behind every document that has tokens."""
    json_keys: tuple[str, ...] = ("text",)
    """Fields to encode, each to files of its own."""
    log_interval: int = 1000
    """Documents between two lines of progress on standard error; 0: none."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="preprocess_data.py",
        description="JSON lines to a Megatron indexed dataset: the documents of Megatron-LM's tool of the same name.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--input", required=True, metavar="FILE", help="a file or a quoted pattern: .jsonl, .json, .gz, .zst")
    add("--json-keys", nargs="+", default=["text"], metavar="KEY", help="fields to encode (default: text)")
    add("--output-prefix", required=True, type=Path, metavar="PREFIX", help="writes PREFIX_KEY_document.bin and .idx")
    add("--tokenizer-type", required=True, metavar="TYPE", help=f"one of {', '.join(TOKENIZER_TYPES)}")
    add("--tokenizer-model", required=True, type=Path, metavar="FILE", help="SentencePiece model")
    add("--append-eod", action="store_true", help="end each document with the end-of-sentence id")
    add("--workers", type=int, default=1, help="processes; the output does not depend on them (default: 1)")
    add("--log-interval", type=int, default=1000, metavar="N", help="documents between lines of progress; 0: none")
    quiet = "accepted without effect: documents always stand in the order of the input"
    add("--partitions", type=int, default=1, metavar="N", help=quiet)
    add("--keep-sequential-samples", action="store_true", help=quiet)
    add("--lang", default="english", help="accepted without effect: it belongs to --split-sentences")
    return parser


def parse_arguments(words: Sequence[str]) -> PreprocessOptions:
    """Options of a command line.

    Raises:
        UserError: an option that is refused, a tokenizer of another kind, input that is not there.
        SystemExit: what argparse itself refuses or prints (--help).
    """
    for word in words:
        name = word.split("=", 1)[0]
        if name in _REFUSED:
            raise UserError(f"{name} is not supported: {_REFUSED[name]}")
    given: Any = _parser().parse_args(list(words))
    if given.tokenizer_type not in TOKENIZER_TYPES:
        raise UserError(
            f"--tokenizer-type {given.tokenizer_type} is not supported; SentencePiece models are: "
            f"{', '.join(TOKENIZER_TYPES)}"
        )
    for name, least in (("workers", 1), ("partitions", 1), ("log_interval", 0)):
        if getattr(given, name) < least:
            option = name.replace("_", "-")
            raise UserError(f"--{option} {getattr(given, name)} is too small; give {least} or more")
    if len(set(given.json_keys)) < len(given.json_keys):
        raise UserError(f"--json-keys {' '.join(given.json_keys)} names a field twice")
    return PreprocessOptions(
        inputs=find_inputs(given.input),
        output_prefix=given.output_prefix,
        tokenizer_model=given.tokenizer_model,
        workers=given.workers,
        append_eod=given.append_eod,
        json_keys=tuple(given.json_keys),
        log_interval=given.log_interval,
    )


def find_inputs(pattern: str) -> tuple[Path, ...]:
    """Files that a path or a pattern names, sorted by name.

    Raises:
        UserError: none, or one whose name has another ending than those that are read.
    """
    paths = [Path(pattern)] if Path(pattern).exists() else sorted(Path(name) for name in glob.glob(pattern))  # noqa: PTH207 - absolute patterns
    files = tuple(path for path in paths if path.is_file())
    if not files:
        raise UserError(f"--input {pattern} names no file; give a path, or a pattern in quotes")
    for file in files:
        if file.suffix.lower() not in INPUT_ENDINGS:
            raise UserError(f"--input {file} has none of the endings {', '.join(INPUT_ENDINGS)}")
    return files
