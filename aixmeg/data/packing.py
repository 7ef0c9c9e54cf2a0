"""Samples of whole examples: no infilling example is cut in two.

S is the sequence length; a sample holds up to C = S + 1 tokens, the rest is padding. Examples are taken in their stored
order, 65,536 at a time, and packed by best-fit decreasing (csrc/data/packing.cpp), so that a sample's examples come
from neighbouring repositories. A next-token example longer than C is cut into pieces that share one token, so that each
of its labels is seen once. An infilling example longer than C keeps its middle, and of its prefix and suffix what is
nearest to it; one whose middle does not fit is left out and counted.

The plan is kept beside the tokens, for each S:

    train.pack-S.pieces.npy    rows of PIECE: where a piece of a sample lies in the stream
    train.pack-S.samples.npy   i8 [samples + 1]: the first piece of each sample
    train.pack-S.json          what it was made from, counts, share of padding; written last
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.data.indexed import TokenStream
from aixmeg.data.sidecar import NTP, PSM, ROW, load_array
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, write_json
from aixmeg.native.library import data_library

PIECE: Final = np.dtype([("start", "<i8"), ("length", "<i8")])
_POOL: Final = 65_536
_SUFFIX_SHARE: Final = 4
"""Of the room for context a suffix gets at least a fourth, if it is that long: the prefix says more."""


def plan_file(prefix: Path, seq_length: int, what: str) -> Path:
    """`train` → `train.pack-S.pieces.npy` …"""
    return prefix.with_name(f"{prefix.name}.pack-{seq_length}.{what}")


def write_plan(prefix: Path, *, seq_length: int, special: dict[str, int]) -> dict[str, Any]:
    """Pack the examples of `prefix` and write the plan; returns what the .json holds.

    Args:
        prefix: of the split's files.
        seq_length: S.
        special: ids of the pieces `suffix` and `middle`, which mark where an infilling example may be shortened.

    Raises:
        UserError: the split's files are damaged, or the disk refuses a write.
    """
    stream, rows = TokenStream(prefix), load_array(prefix.with_name(prefix.name + ".examples.npy"), ROW)
    counts = {"examples": 0, "cut": 0, "shortened": 0, "left_out": 0}
    samples = tokens = pieces = 0
    with (
        atomic_write(plan_file(prefix, seq_length, "pieces.npy"), "wb") as out,
        atomic_write(plan_file(prefix, seq_length, "samples.npy"), "wb") as firsts,
    ):
        # The headers hold the counts, which are known at the end: written again then, in the same number of bytes.
        _npy(out, PIECE, 0)
        _npy(firsts, np.dtype("<i8"), 0)
        firsts.write(np.zeros(1, "<i8").tobytes())
        for pool in _pools(rows):
            items = _Items(stream, seq_length + 1, special, counts)
            for example in pool:
                items.add(example)
            order, first = _pack(items.lengths, seq_length + 1, np.array(items.places))
            packed = np.array(items.pieces, PIECE)[order] if len(order) else np.empty(0, PIECE)
            ends = np.append(first[1:], len(packed)) if len(first) else first
            out.write(packed.tobytes())
            firsts.write((pieces + ends).astype("<i8").tobytes())
            pieces, samples = pieces + len(packed), samples + len(first)
            tokens += int(packed["length"].sum())
        out.seek(0)
        _npy(out, PIECE, pieces)
        firsts.seek(0)
        _npy(firsts, np.dtype("<i8"), samples + 1)
    padding = 1 - tokens / (samples * (seq_length + 1)) if samples else 0.0
    summary = counts | {"samples": samples, "tokens": tokens, "padding_share": padding, "stream_tokens": stream.total}
    write_json(plan_file(prefix, seq_length, "json"), summary)
    return summary


class PackedSamples:
    """The samples of a plan: `tokens, length = samples[i]`, int64 [S + 1] with zeros from `length` on.

    Raises:
        UserError: there is no plan for this sequence length, or it is of other data.
    """

    def __init__(self, prefix: Path, *, seq_length: int) -> None:
        self.stream, self._seq_length = TokenStream(prefix), seq_length
        path = plan_file(prefix, seq_length, "json")
        if not path.exists():
            raise UserError(
                f"{path} is missing: the data was not packed for model.seq_length={seq_length}; run "
                "`aixmeg data build` with data.packing.policy=best_fit and this sequence length"
            )
        self.summary = read_json(path)
        self._pieces = load_array(plan_file(prefix, seq_length, "pieces.npy"), PIECE)
        self._first = load_array(plan_file(prefix, seq_length, "samples.npy"), np.dtype("<i8"))
        if self.summary["stream_tokens"] != self.stream.total or len(self._first) != self.summary["samples"] + 1:
            raise UserError(f"{path} was made for other data; build it again with `aixmeg data build`")

    def __len__(self) -> int:
        return len(self._first) - 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        pieces = self.pieces(index)
        return self.stream.join(pieces, self._seq_length + 1), sum(length for _, length in pieces)

    def pieces(self, index: int) -> list[tuple[int, int]]:
        """(position in the stream, length) of the pieces of a sample, in their order."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._pieces[self._first[index] : self._first[index + 1]].tolist()


class _Items:
    """What is packed: items of one or more pieces, which stay together."""

    def __init__(self, stream: TokenStream, capacity: int, special: dict[str, int], counts: dict[str, int]) -> None:
        self._stream, self._capacity, self._special, self._counts = stream, capacity, special, counts
        self.lengths: list[int] = []
        self.places: list[int] = []
        """Item of each piece."""
        self.pieces: list[tuple[int, int]] = []

    def add(self, example: np.ndarray) -> None:
        """Add the rows of one example."""
        first, last = example[0], example[-1]
        start = int(self._stream.starts[first["document"]]) + int(first["offset"])
        length = int(example["length"].sum())
        self._counts["examples"] += 1
        if length <= self._capacity:
            self._item((start, length))
        elif (example["objective"] == NTP).all():
            self._counts["cut"] += 1
            step = self._capacity - 1
            for offset in range(0, length - 1, step):  # neighbours share a token: the last label, then the first input
                self._item((start + offset, min(self._capacity, length - offset)))
        elif len(example) == 1 and (pieces := self._shortened(last, start, length)):
            self._counts["shortened"] += 1
            self._item(*pieces)
        else:
            self._counts["left_out"] += 1

    def _item(self, *pieces: tuple[int, int]) -> None:
        self.lengths.append(sum(length for _, length in pieces))
        for piece in pieces:
            self.places.append(len(self.lengths) - 1)
            self.pieces.append(piece)

    def _shortened(self, row: Any, start: int, length: int) -> list[tuple[int, int]]:
        """Pieces of an infilling example that is too long; empty if its middle does not fit."""
        ids = self._stream.read(start, start + length)
        mark = int(np.flatnonzero(ids == self._special["middle"])[0])
        post = int(np.flatnonzero(ids == self._special["suffix"])[0])
        middle = int(row["middle_offset"]) - int(row["offset"])
        if row["mode"] == PSM:  # <s> PRE prefix POST suffix MIDDLE middle </s>
            prefix, suffix = (2, post), (post + 1, mark)
        else:  # <s> PRE POST suffix MIDDLE prefix middle </s>
            prefix, suffix = (mark + 1, middle), (post + 1, mark)
        frame = length - (prefix[1] - prefix[0]) - (suffix[1] - suffix[0])
        room = self._capacity - frame
        if room < 0:
            return []
        keep_suffix = min(suffix[1] - suffix[0], max(room // _SUFFIX_SHARE, room - (prefix[1] - prefix[0])))
        keep_prefix = min(prefix[1] - prefix[0], room - keep_suffix)
        gone = sorted([(prefix[0], prefix[1] - keep_prefix), (suffix[0] + keep_suffix, suffix[1])])
        kept = [(0, gone[0][0]), (gone[0][1], gone[1][0]), (gone[1][1], length)]
        return [(start + begin, end - begin) for begin, end in kept if end > begin]


def _pools(rows: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Examples, each as its rows, some tens of thousands at a time."""
    begin = 0
    while begin < len(rows):
        places = np.asarray(rows["place"][begin : begin + _POOL])
        firsts = np.flatnonzero(places == 0)
        # The last example may go on behind the pool: it begins the next one, unless it is all there is.
        whole = begin + len(places) == len(rows)
        ends = np.append(firsts[1:], len(places)) if whole or len(firsts) == 1 else firsts[1:]
        if not whole and len(firsts) == 1:
            raise UserError(f"an example of more than {_POOL} files; lower data.sfim.context_tokens and build again")
        yield [rows[begin + first : begin + end] for first, end in zip(firsts.tolist(), ends.tolist(), strict=False)]
        begin += int(ends[-1])


def _pack(lengths: list[int], capacity: int, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order of the pieces, sample after sample, and the first piece of each sample. Samples stand in the order of their
    first items, and items in a sample in their own."""
    sizes, bins = np.array(lengths, np.int64), np.empty(len(lengths), np.int32)
    count = _library().aixmeg_best_fit(sizes.ctypes.data, len(sizes), capacity, bins.ctypes.data)
    if count < 0:
        raise AssertionError("an item does not fit a sample")
    earliest = np.full(count, len(lengths))
    np.minimum.at(earliest, bins, np.arange(len(lengths)))
    rank = np.empty(count, np.int64)
    rank[np.argsort(earliest, kind="stable")] = np.arange(count)
    sample = rank[bins][place] if len(place) else np.empty(0, np.int64)
    order = np.argsort(sample, kind="stable")
    return order, np.searchsorted(sample[order], np.arange(count))


def _npy(file: Any, dtype: np.dtype[Any], count: int) -> None:
    """Write the header of a one-dimensional .npy, of the same size for any count."""
    described = np.lib.format.dtype_to_descr(dtype)
    text = f"{{'descr': {described!r}, 'fortran_order': False, 'shape': ({count},), }}"
    header = text.ljust(245) + "\n"
    file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin1"))


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    library.aixmeg_best_fit.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    library.aixmeg_best_fit.restype = ctypes.c_int64
    return library
