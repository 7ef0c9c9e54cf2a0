"""Held-out files with a hole: what the model puts there, from the Hugging Face folder and from the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.config import Config
from aixmeg.corpus import read_corpus
from aixmeg.data.indexed import TokenStream
from aixmeg.data.sidecar import ROW, SFIM, load_array
from aixmeg.errors import UserError
from aixmeg.files import write_json
from aixmeg.generate.source import Surroundings
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.sfim.format import undo
from aixmeg.tokenizer import CodeTokenizer

MAX_MIDDLE_TOKENS = 24
MAX_NEW_TOKENS = 32
MIN_LINES_BEFORE = 3
"""A hole at the very top of a file asks the model to guess what the file is about."""
CANDIDATES = 64


@dataclass(frozen=True)
class Hole:
    """A held-out file without its middle."""

    path: str
    language: str
    prefix: str
    suffix: str
    expected: str
    header: str

    @property
    def cursor(self) -> str:
        """LINE:COLUMN of the hole, both counted from 1."""
        lines = self.prefix.split("\n")
        return f"{len(lines)}:{len(lines[-1]) + 1}"


def choose_holes(config: Config, count: int) -> list[Hole]:
    """Held-out structured examples with a short middle, spread over the split.

    Raises:
        UserError: the split has none.
    """
    data = config.paths.at("data")
    stream = TokenStream(data / "valid")
    rows = load_array(data / "valid.examples.npy", ROW)
    short = np.flatnonzero((rows["objective"] == SFIM) & (rows["middle_length"] <= MAX_MIDDLE_TOKENS))
    if not len(short):
        raise UserError(
            f"{data} holds out no structured example with a middle of at most {MAX_MIDDLE_TOKENS} tokens; "
            "raise data.valid_share"
        )
    tokenizer = CodeTokenizer.from_folder(config.paths.at("tokenizer"))
    candidates = list(_read(config.paths.at("corpus"), rows[_spread(short, CANDIDATES)], stream, tokenizer))
    inside = [hole for hole in candidates if hole.prefix.count("\n") >= MIN_LINES_BEFORE] or candidates
    return [inside[i] for i in _spread(np.arange(len(inside)), count)]


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `indices`, evenly spaced."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices)), dtype=np.int64)]


def _read(corpus: Path, rows: np.ndarray, stream: TokenStream, tokenizer: CodeTokenizer) -> Iterator[Hole]:
    files, position = read_corpus(corpus), 0
    for row in rows[np.argsort(rows["file"])]:
        source = next(islice(files, int(row["file"]) - position, None))
        position = int(row["file"]) + 1
        header = header_lines(LANGUAGES[source.language], source.path)
        begin = int(row["offset"])
        ids = stream.document(int(row["document"]))[begin : begin + int(row["length"])]
        parts = undo(ids.tolist(), tokenizer, header=header, middle_offset=int(row["middle_offset"]) - begin)
        before, after, middle = parts.prefix.decode(), parts.suffix.decode(), parts.middle.decode()
        yield Hole(source.path, source.language, before, after, middle, header)


def fill(holes: list[Hole], *, run: Path, hf: Path) -> list[dict[str, Any]]:
    """Fill every hole with both models and keep the answers in run/infills.json, which the report shows.

    Raises:
        UserError: the two models disagree on a token.
    """
    answers = _fill_all(hf, holes)
    for hole, ours, theirs in zip(holes, _fill_all(run, holes), answers, strict=True):
        if ours.tokens != theirs.tokens:
            raise UserError(
                f"{hf} and {run} complete {hole.path} differently: {theirs.tokens} and {ours.tokens}; convert again "
                "with `aixmeg convert to-hf --verify`"
            )
    found = [
        {
            "path": hole.path,
            "language": hole.language,
            "mode": "psm",
            "prefix": hole.prefix,
            "suffix": hole.suffix,
            "expected": hole.expected,
            "completion": answer.text,
            "stopped": answer.stopped,
        }
        for hole, answer in zip(holes, answers, strict=True)
    ]
    write_json(run / "infills.json", found)
    return found


def _fill_all(model: Path, holes: list[Hole]) -> list[Any]:
    from aixmeg.convert.native import open_model
    from aixmeg.generate.command import infill

    with open_model(model) as native:
        return [
            infill(native, Surroundings(hole.prefix, hole.suffix, hole.header), max_new_tokens=MAX_NEW_TOKENS)
            for hole in holes
        ]
