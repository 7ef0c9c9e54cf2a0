"""The corpus cut into parts of a few megabytes, each built on its own: what workers share and restarts skip.

A part is a byte range of one shard; a record belongs to the part in which its line begins. The cuts depend on the
shards alone, so the number of workers changes nothing, and a part whose marker is there is never built again:

    part-00000.bin    token ids      part-00000.npy   one row per example
    part-00000.jsonl  file of each   part-00000.json  marker, written last: sizes, totals, runs of one repository
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from aixmeg.config import DataConfig
from aixmeg.corpus import SourceFile
from aixmeg.data.context import encode_files
from aixmeg.data.encode import Encoded, Encoder, Input
from aixmeg.data.indexed import token_type
from aixmeg.data.sidecar import MODES, OBJECTIVES, STRATEGIES, WITHOUT_TREE
from aixmeg.data.stored import StoredTrees
from aixmeg.data.totals import Tally
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

PART_BYTES: Final = 4 << 20
"""Bytes of a shard in one part: seconds of work, and a worker's memory is a few times this."""

_READ_BYTES: Final = 1 << 20
PART_ROW: Final = np.dtype(
    [
        ("length", "<i8"), ("objective", "u1"), ("mode", "u1"), ("middle_offset", "<i8"), ("middle_length", "<i8"),
        ("place", "<u4"), ("strategy", "u1"), ("without_tree", "u1"),
    ]
)  # fmt: skip
"""Like sidecar.ROW, before the file's place in its document is known; middle_offset counts from its first token."""


@dataclass(frozen=True)
class Part:
    """Bytes [start, stop) of a shard, and where its files go."""

    shard: Path
    start: int
    stop: int
    prefix: Path

    def file(self, suffix: str) -> Path:
        """One of the part's files."""
        return self.prefix.with_name(self.prefix.name + suffix)


def plan_parts(shards: list[Path], folder: Path) -> list[Part]:
    """Cut every shard into ranges of PART_BYTES."""
    parts: list[Part] = []
    for shard in shards:
        size = shard.stat().st_size
        for start in range(0, size, PART_BYTES):
            stop = min(start + PART_BYTES, size)
            parts.append(Part(shard, start, stop, folder / f"part-{len(parts):05d}"))
    return parts


def is_built(part: Part, itemsize: int) -> bool:
    """Whether the marker is there and the files have the sizes that it tells."""
    if not part.file(".json").exists():
        return False
    marker = read_json(part.file(".json"))
    expected = {".bin": marker["tokens"] * itemsize, ".npy": marker["row_bytes"], ".jsonl": marker["line_bytes"]}
    return all(
        part.file(suffix).exists() and part.file(suffix).stat().st_size == size for suffix, size in expected.items()
    )


def build_part(part: Part, tokenizer: CodeTokenizer, config: DataConfig) -> None:
    """Encode the files of one part; its marker appears last.

    Raises:
        UserError: a bad record, or the disk refuses a write.
    """
    runs = _Runs()
    rows: list[tuple[int, ...]] = []
    digest = hashlib.sha256()
    dtype = token_type(tokenizer.vocab_size)
    with ExitStack() as stack:
        tokens = stack.enter_context(atomic_write(part.file(".bin"), "wb"))
        lines = stack.enter_context(atomic_write(part.file(".jsonl"), "wb"))
        trees = stack.enter_context(contextlib.closing(StoredTrees(part.shard)))
        for encoded in encode_files(_inputs(part, digest, trees), Encoder(tokenizer, config)):
            tokens.write(encoded.example.ids.astype(dtype).tobytes())
            lines.write(described := _describe(encoded))
            rows.append(_row(encoded))
            runs.add(encoded, len(described))
        np.save(stack.enter_context(atomic_write(part.file(".npy"), "wb")), np.array(rows, PART_ROW))
    found = runs.finished()
    marker = {
        "tokens": sum(run["tokens"] for run in found),
        "row_bytes": part.file(".npy").stat().st_size,
        "line_bytes": sum(run["line_bytes"] for run in found),
        "sha256": digest.hexdigest(),
        "runs": found,
    }
    with atomic_write(part.file(".json"), "wb") as file:
        file.write(orjson.dumps(marker))


class _Runs:
    """Neighbouring files of one repository, with their totals."""

    def __init__(self) -> None:
        self._found: list[dict[str, Any]] = []
        self._tally = Tally()

    def add(self, encoded: Encoded, line_bytes: int) -> None:
        repository = encoded.source.repository
        if not self._found or self._found[-1]["repository"] != repository:
            self.finished()
            self._found.append({"repository": repository, "files": 0, "tokens": 0, "line_bytes": 0})
            self._tally = Tally()
        run = self._found[-1]
        run["files"] += 1
        run["tokens"] += len(encoded.example.ids)
        run["line_bytes"] += line_bytes
        self._tally.add(encoded)

    def finished(self) -> list[dict[str, Any]]:
        """The runs, the last one closed."""
        if self._found:
            self._found[-1]["totals"] = self._tally.totals()
        return self._found


def _inputs(part: Part, digest: Any, trees: StoredTrees) -> Iterator[Input]:
    """The files whose lines begin in the part; `digest` takes in the lines."""
    try:
        with part.shard.open("rb", buffering=_READ_BYTES) as file:
            position = part.start
            if position:
                file.seek(position - 1)
                position += len(file.readline()) - 1  # the rest of a line that began in an earlier part
            while position < part.stop and (line := file.readline()):
                digest.update(line)
                source, text = _parse(line, part.shard, position)
                yield Input(source, text, functools.partial(trees.read, trees.place(position), source.language, text))
                position += len(line)
    except OSError as error:
        raise UserError(f"cannot read {part.shard}: {error.strerror or error}") from error


def _parse(line: bytes, shard: Path, position: int) -> tuple[SourceFile, bytes]:
    try:
        source = SourceFile(**orjson.loads(line))
        return source, source.text.encode()  # a lone surrogate, which JSON can spell, is no UTF-8
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{shard}, byte {position}: not a corpus record ({type(error).__name__}: {error}); "
            "build the corpus again with `aixmeg corpus build`"
        ) from error


def _row(encoded: Encoded) -> tuple[int, ...]:
    example, choice = encoded.example, encoded.choice
    objective, mode = OBJECTIVES.index(choice.objective), MODES.index(choice.mode)
    middle = example.middle_offset, example.middle_length
    strategy, without_tree = STRATEGIES.index(choice.strategy), WITHOUT_TREE.index(choice.without_tree)
    return len(example.ids), objective, mode, *middle, encoded.place, strategy, without_tree


def _describe(encoded: Encoded) -> bytes:
    """The line of .files.jsonl: which file a row comes from, and the middle's bytes in it."""
    source, choice = encoded.source, encoded.choice
    line: dict[str, Any] = {"repository": source.repository, "path": source.path, "language": source.language}
    if (span := choice.span) is not None:
        line |= {"start": span.start, "end": span.end, "kind": span.kind, "strategy": choice.strategy}
    return orjson.dumps(line) + b"\n"
