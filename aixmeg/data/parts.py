"""The corpus cut into parts of a few megabytes, each built on its own: what workers share and restarts skip.

A part is a byte range of one shard; a record belongs to the part in which its line begins. The cuts depend on the
shards alone, so the number of workers changes nothing, and a part whose marker is there is never built again:

    part-00000.bin    token ids      part-00000.npy   one row per example
    part-00000.jsonl  file of each   part-00000.json  marker, written last: sizes, totals, runs of one repository
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.config import DataConfig
from aixmeg.corpus import SourceFile
from aixmeg.data.encode import encode_source
from aixmeg.data.indexed import token_type
from aixmeg.data.sidecar import MODES, OBJECTIVES
from aixmeg.data.totals import add_totals, totals_of
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, write_json
from aixmeg.sfim.choose import Choice
from aixmeg.sfim.format import Example
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

PART_BYTES: Final = 4 << 20
"""Bytes of a shard in one part: seconds of work, and a worker's memory is a few times this."""

PART_ROW: Final = np.dtype(
    [("length", "<i8"), ("objective", "u1"), ("mode", "u1"), ("middle_offset", "<i8"), ("middle_length", "<i8")]
)
"""Like sidecar.ROW, before the example's place in its document is known; middle_offset counts from its `<s>`."""


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
        for line, source in _sources(part):
            example, choice = encode_source(source, tokenizer, config)
            tokens.write(np.asarray(example.ids, dtype).tobytes())
            lines.write(described := _describe(source, choice))
            rows.append(_row(example, choice))
            runs.add(source, example, choice, len(described))
            digest.update(line)
        np.save(stack.enter_context(atomic_write(part.file(".npy"), "wb")), np.array(rows, PART_ROW))
    marker = {
        "tokens": sum(run["tokens"] for run in runs.found),
        "row_bytes": part.file(".npy").stat().st_size,
        "line_bytes": sum(run["line_bytes"] for run in runs.found),
        "sha256": digest.hexdigest(),
        "runs": runs.found,
    }
    write_json(part.file(".json"), marker)


class _Runs:
    """Neighbouring files of one repository, with their totals."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []

    def add(self, source: SourceFile, example: Example, choice: Choice, line_bytes: int) -> None:
        if not self.found or self.found[-1]["repository"] != source.repository:
            self.found.append({"repository": source.repository, "files": 0, "tokens": 0, "line_bytes": 0, "totals": {}})
        run = self.found[-1]
        run["files"] += 1
        run["tokens"] += len(example.ids)
        run["line_bytes"] += line_bytes
        add_totals(run["totals"], totals_of(source, example, choice))


def _sources(part: Part) -> Iterator[tuple[bytes, SourceFile]]:
    """The records whose lines begin in the part."""
    try:
        with part.shard.open("rb") as file:
            position = part.start
            if position:
                file.seek(position - 1)
                position += len(file.readline()) - 1  # the rest of a line that began in an earlier part
            while position < part.stop and (line := file.readline()):
                yield line, _parse(line, part.shard, position)
                position += len(line)
    except OSError as error:
        raise UserError(f"cannot read {part.shard}: {error.strerror or error}") from error


def _parse(line: bytes, shard: Path, position: int) -> SourceFile:
    try:
        source = SourceFile(**json.loads(line))
        source.text.encode()  # a lone surrogate, which JSON can spell, is no UTF-8
        return source
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{shard}, byte {position}: not a corpus record ({type(error).__name__}: {error}); "
            "build the corpus again with `aixmeg corpus build`"
        ) from error


def _row(example: Example, choice: Choice) -> tuple[int, ...]:
    objective, mode = OBJECTIVES.index(choice.objective), MODES.index(choice.mode)
    return len(example.ids), objective, mode, example.middle_offset, example.middle_length


def _describe(source: SourceFile, choice: Choice) -> bytes:
    """The line of .files.jsonl: which file an example comes from, and the middle's bytes in it."""
    names = {"repository": source.repository, "path": source.path, "language": source.language}
    span = {} if choice.span is None else asdict(choice.span)
    return json.dumps(names | span, ensure_ascii=False).encode() + b"\n"
