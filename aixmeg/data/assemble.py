"""Join the built parts into the files of each split, reading and writing piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.data.indexed import token_type, write_index
from aixmeg.data.parts import PART_ROW, Part
from aixmeg.data.sidecar import ROW
from aixmeg.data.totals import add_totals, sorted_totals
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json

SPLIT_FILES: Final = (".bin", ".idx", ".examples.npy", ".files.jsonl")
_CHUNK: Final = 1 << 22


@dataclass(frozen=True)
class Run:
    """Neighbouring files of one repository in one part, and where they begin in the part's files."""

    part: Part
    repository: str
    files: int
    tokens: int
    line_bytes: int
    totals: dict[str, Any]
    first_file: int
    """Index in the corpus."""
    first_row: int
    first_token: int
    first_line_byte: int


def read_runs(parts: list[Part]) -> tuple[list[Run], list[str]]:
    """The runs of all parts in corpus order, and the digest of each part's records.

    Raises:
        UserError: a repository's files are not together.
    """
    runs: list[Run] = []
    digests: list[str] = []
    seen: set[str] = set()
    file = 0
    for part in parts:
        marker = read_json(part.file(".json"))
        digests.append(marker["sha256"])
        row = token = line_byte = 0
        for values in marker["runs"]:
            run = Run(part, **values, first_file=file, first_row=row, first_token=token, first_line_byte=line_byte)
            if not (runs and runs[-1].repository == run.repository) and run.repository in seen:
                raise UserError(
                    f"repository {run.repository!r} appears in two places of the corpus ({part.shard.name} is the "
                    "second); build the corpus again with `aixmeg corpus build`"
                )
            seen.add(run.repository)
            runs.append(run)
            file, row = file + run.files, row + run.files
            token, line_byte = token + run.tokens, line_byte + run.line_bytes
    return runs, digests


@dataclass
class Split:
    """What one split came to."""

    lengths: list[int] = field(default_factory=list)
    """Tokens of each document, in order."""
    unigram: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Count of each token id, int64 [vocab_size]."""
    totals: dict[str, Any] = field(default_factory=dict)


def write_split(prefix: Path, runs: list[Run], vocab_size: int) -> Split:
    """Write PREFIX.bin, .idx, .examples.npy and .files.jsonl; one document per repository.

    Raises:
        UserError: the disk refuses a write.
    """
    split = Split(unigram=np.zeros(vocab_size, np.int64))
    dtype = token_type(vocab_size)
    with (
        atomic_write(prefix.with_name(prefix.name + ".bin"), "wb") as tokens,
        atomic_write(prefix.with_name(prefix.name + ".files.jsonl"), "wb") as lines,
        atomic_write(prefix.with_name(prefix.name + ".examples.npy"), "wb") as rows,
    ):
        shape = (sum(run.files for run in runs),)
        np.lib.format.write_array_header_1_0(rows, {"descr": ROW.descr, "fortran_order": False, "shape": shape})
        previous = None
        for run in runs:
            if run.repository != previous:
                split.lengths.append(0)
                previous = run.repository
            rows.write(_rows(run, document=len(split.lengths) - 1, offset=split.lengths[-1]).tobytes())
            start, size = run.first_token * dtype.itemsize, run.tokens * dtype.itemsize
            for piece in _pieces(run.part.file(".bin"), start, size):
                tokens.write(piece)
                split.unigram += np.bincount(np.frombuffer(piece, dtype), minlength=vocab_size)
            for piece in _pieces(run.part.file(".jsonl"), run.first_line_byte, run.line_bytes):
                lines.write(piece)
            split.lengths[-1] += run.tokens
            add_totals(split.totals, run.totals)
    write_index(prefix.with_name(prefix.name + ".idx"), split.lengths, dtype)
    split.totals = sorted_totals(split.totals)
    return split


def _rows(run: Run, *, document: int, offset: int) -> np.ndarray:
    """The run's examples, placed `offset` tokens into `document`: sidecar.ROW [files]."""
    path = run.part.file(".npy")
    part = np.load(path, mmap_mode="r", allow_pickle=False)[run.first_row : run.first_row + run.files]
    rows = np.zeros(run.files, ROW)
    for name in PART_ROW.names or ():
        rows[name] = part[name]
    rows["document"] = document
    rows["offset"] = offset + np.cumsum(rows["length"]) - rows["length"]
    rows["middle_offset"][rows["middle_offset"] >= 0] += rows["offset"][rows["middle_offset"] >= 0]
    rows["file"] = run.first_file + np.arange(run.files)
    return rows


def _pieces(path: Path, start: int, size: int) -> Iterator[bytes]:
    """Bytes [start, start + size) of a file, a few megabytes at a time."""
    with path.open("rb") as file:
        file.seek(start)
        while size > 0 and (piece := file.read(min(size, _CHUNK))):
            size -= len(piece)
            yield piece
