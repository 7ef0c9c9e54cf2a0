"""One part of the input of tools/preprocess_data.py: JSON lines to token ids, lengths and counts, in bounded memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from aixmeg.errors import UserError
from aixmeg.files import write_error
from aixmeg.tokenizer.encoder import Encoder

try:
    import orjson

    _fast_loads: Any = orjson.loads
except ImportError:  # several times as slow, and the same records
    _fast_loads = json.loads

COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")
PART_BYTES: Final = 4 << 20
"""Bytes of a file in one part."""
_BATCH_BYTES: Final = 1 << 20
"""Text that is encoded in one call."""
_BLOCK: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class InputPart:
    """Bytes [start, stop) of a file, where its output goes; a document belongs to the part in which its line begins."""

    file: Path
    start: int
    stop: int
    prefix: Path

    def output(self, key: int, suffix: str) -> Path:
        """File of the key with this number: .bin (ids), .lengths (of sequences), .counts (sequences of documents)."""
        return self.prefix.with_name(f"{self.prefix.name}-{key}{suffix}")


def plan(files: tuple[Path, ...], folder: Path) -> list[InputPart]:
    """Cut files into parts, in order. A compressed file is one: it can only be read from its beginning."""
    parts: list[InputPart] = []
    for file in files:
        size = file.stat().st_size
        step = max(size, 1) if file.suffix.lower() in COMPRESSED else PART_BYTES
        for start in range(0, size, step):
            parts.append(InputPart(file, start, min(start + step, size), folder / f"part-{len(parts):06d}"))
    return parts


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is the same for every part."""

    encoder: Encoder
    keys: tuple[str, ...]
    dtype: np.dtype[Any]
    eod: int | None
    """Id behind each document that has tokens; None for none."""


def encode_part(part: InputPart, task: Task) -> tuple[int, int]:
    """Write the part's output files; returns its documents and bytes of input.

    Raises:
        UserError: a line that is no JSON object with text in every key, or the disk refuses a write; names the place.
    """
    documents = size = 0
    with ExitStack() as stack:
        outputs = [_Output(part, number, task, stack) for number in range(len(task.keys))]
        for position, line in _lines(part):
            size += len(line)
            record = _parse(line, part.file, position)
            if record is None:
                continue
            documents += 1
            for key, output in zip(task.keys, outputs, strict=True):
                output.add(_texts(record, key, part.file, position))
        for output in outputs:
            output.flush()
    return documents, size


@dataclass
class _Output:
    """Files of one key; holds text until there is enough of it for one call of the encoder."""

    part: InputPart
    key: int
    task: Task
    stack: ExitStack
    texts: list[bytes] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    """Sequences of each document held, empty ones included."""
    held: int = 0

    def __post_init__(self) -> None:
        self.files: dict[str, IO[bytes]] = {}
        for suffix in (".bin", ".lengths", ".counts"):
            path = self.part.output(self.key, suffix)
            try:
                self.files[suffix] = self.stack.enter_context(path.open("wb"))
            except OSError as error:
                raise write_error(path, error) from error

    def add(self, texts: list[bytes]) -> None:
        """Append one document."""
        self.texts += texts
        self.counts.append(len(texts))
        self.held += sum(map(len, texts))
        if self.held >= _BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Encode and write what is held."""
        ends = np.cumsum([len(text) for text in self.texts], dtype=np.int64)
        bounds = np.stack([ends - [len(text) for text in self.texts], ends], axis=1)
        ids, ends = self.task.encoder.encode_bounds(b"".join(self.texts), bounds)
        lengths = np.diff(ends, prepend=0)
        documents = np.repeat(np.arange(len(self.counts)), self.counts)
        full = lengths > 0  # Megatron drops empty sequences, and keeps documents that have none left
        ends, lengths = ends[full], lengths[full]
        counts = np.bincount(documents[full], minlength=len(self.counts))
        if self.task.eod is None:
            ids = ids.astype(self.task.dtype)
        else:
            last = np.cumsum(counts)[counts > 0] - 1
            ids = _with_eod(ids, ends[last].tolist(), self.task.eod, self.task.dtype)
            lengths[last] += 1
        try:
            self.files[".bin"].write(ids.data)
            self.files[".lengths"].write(lengths.astype("<i4").data)
            self.files[".counts"].write(counts.astype("<i4").data)
        except OSError as error:
            raise write_error(self.part.prefix, error) from error
        self.texts, self.counts, self.held = [], [], 0


def _with_eod(ids: np.ndarray, ends: list[int], eod: int, dtype: np.dtype[Any]) -> np.ndarray:
    """`ids` as `dtype` with `eod` at each of `ends`; documents are few and long, so that a loop beats numpy.insert."""
    joined = np.empty(len(ids) + len(ends), dtype)
    for number, (start, stop) in enumerate(pairwise((0, *ends))):
        joined[start + number : stop + number] = ids[start:stop]
        joined[stop + number] = eod
    return joined


def _lines(part: InputPart) -> Iterator[tuple[int, bytes]]:
    """(position, line) of the lines that begin in the part."""
    if part.file.suffix.lower() in COMPRESSED:
        return _compressed_lines(part)
    return _plain_lines(part)


def _plain_lines(part: InputPart) -> Iterator[tuple[int, bytes]]:
    try:
        with part.file.open("rb", buffering=_BLOCK) as file:
            position = part.start
            if position:
                file.seek(position - 1)
                position += len(file.readline()) - 1  # the rest of a line that began in an earlier part
            while position < part.stop and (line := file.readline()):
                yield position, line
                position += len(line)
    except OSError as error:
        raise UserError(f"cannot read {part.file}: {error.strerror or error}") from error


def _compressed_lines(part: InputPart) -> Iterator[tuple[int, bytes]]:
    from aixmeg.corpus.sources.streams import Damaged, Stream, compression_of  # 0.2 s of imports

    position = 0
    try:
        with part.file.open("rb", buffering=0) as file:
            for line, size in Stream(file, part.stop, compression_of(part.file), 0).lines(sys.maxsize):
                yield position, line or b""
                position += size
    except Damaged as error:
        raise UserError(f"{part.file} cannot be read to its end ({error.reason}); fetch or make it again") from error
    except OSError as error:
        raise UserError(f"cannot read {part.file}: {error.strerror or error}") from error


def _parse(line: bytes, file: Path, position: int) -> dict[str, Any] | None:
    """The record of a line; None for a blank one."""
    if position == 0:
        line = line.removeprefix(_BOM)
    try:
        record = _fast_loads(line)
    except ValueError:
        if not line.strip():
            return None
        try:
            record = json.loads(line.decode())  # what only Python's parser takes, as Megatron does: NaN, large numbers
        except ValueError as error:
            raise UserError(f"{file}, byte {position}: no JSON object on one line ({error}); mend the input") from error
    if not isinstance(record, dict):
        raise UserError(f"{file}, byte {position}: a JSON {type(record).__name__}, but each line must be an object; "
                        "write one document per line")  # fmt: skip
    return record


def _texts(record: dict[str, Any], key: str, file: Path, position: int) -> list[bytes]:
    """Sequences of one document: a string is one, a list of strings as many."""
    value: Any = record.get(key)
    texts = value if isinstance(value, list) else [value]
    try:
        return [text.encode() for text in texts]
    except AttributeError:
        what = f"has no text in {key!r} but {value!r:.40}" if key in record else f"has no {key!r}, only {list(record)}"
        raise UserError(f"{file}, byte {position}: the record {what}; name its text with --json-keys") from None
    except UnicodeEncodeError as error:
        bad = error.object[error.start]
        raise UserError(
            f"{file}, byte {position}: {key!r} holds the lone surrogate {bad!a}, which is no valid Unicode; mend the "
            "input"
        ) from error
