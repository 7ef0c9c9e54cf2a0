"""What each token of a split is as a label: text of a next-token example, a middle, or neither.

The rows of the sidecar are found by bisection in the mapped file, so that nothing grows with the data.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.config.sections import DocumentUnit
from aixmeg.data.indexed import TokenStream
from aixmeg.data.sidecar import NTP, ROW, load_array
from aixmeg.errors import UserError

KIND_NONE: Final = 0
KIND_NTP: Final = 1
KIND_MIDDLE: Final = 2


class Labels:
    """Kinds of the stored stream's tokens.

    KIND_NTP is the text of a next-token example (header and `</s>` included, `<s>` not), KIND_MIDDLE a middle and the
    `</s>` that closes it, KIND_NONE everything else: prefixes, suffixes and the pieces that mark them.

    Raises:
        UserError: the sidecar cannot be read, or describes other tokens.
    """

    def __init__(self, prefix: Path, stream: TokenStream) -> None:
        self._stream = stream
        path = prefix.with_name(prefix.name + ".examples.npy")
        self.rows = np.asarray(load_array(path, ROW))
        """Of the sidecar, mapped; they stand in the order of the stream."""
        described = self._end(len(self.rows) - 1) if len(self.rows) else 0
        if described != stream.total:
            raise UserError(
                f"{path} describes {described} tokens, but {stream.token_file.name} has {stream.total}; "
                "build both again with `aixmeg data build`"
            )

    def spans(self, rows: slice = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of some rows: the first label that counts and the one behind the last, stream positions, and their kind."""
        chosen = self.rows[rows]
        starts = self._stream.starts[chosen["document"]]
        begin = starts + chosen["offset"]
        is_ntp = chosen["objective"] == NTP
        first = np.where(is_ntp, begin + 1, starts + chosen["middle_offset"])
        return first, begin + chosen["length"], np.where(is_ntp, KIND_NTP, KIND_MIDDLE).astype(np.uint8)

    def kinds(self, start: int, stop: int) -> np.ndarray:
        """Kinds of the stream positions [start, stop), uint8."""
        return self.paint(start, stop, self.spans(self._between(start, stop))[2])

    def of_rows(self, start: int, stop: int, values: np.ndarray) -> np.ndarray:
        """As `kinds`, with a value of the row instead: `values` has one per row of the sidecar; 0 where none counts."""
        return self.paint(start, stop, values[self._between(start, stop)])

    def paint(self, start: int, stop: int, values: np.ndarray) -> np.ndarray:
        """Stream positions [start, stop): the value of the row between whose first and last label one stands, else 0;
        `values` are of the rows that touch them."""
        painted = np.zeros(stop - start, values.dtype)
        first, end, _ = self.spans(self._between(start, stop))
        for low, high, value in zip((first - start).tolist(), (end - start).tolist(), values, strict=True):
            painted[max(low, 0) : max(high, 0)] = value
        return painted

    def documents(self, start: int, stop: int, unit: DocumentUnit) -> list[tuple[int, int]]:
        """The examples, or repositories, of the stream positions [start, stop), a (first position, number) per file."""
        between = self._between(start, stop)
        rows = self.rows[between]
        begins = np.maximum(self._stream.starts[rows["document"]] + rows["offset"], start)
        # An example is named by its first row, which stands as many rows before as it has files before this one.
        examples = np.arange(between.start, between.stop) - rows["place"]
        return list(zip(begins.tolist(), (examples if unit == "example" else rows["document"]).tolist(), strict=True))

    def document_starts(self, pieces: Iterable[tuple[int, int]], unit: DocumentUnit, *, size: int) -> np.ndarray:
        """Where documents begin in a sample of `size` tokens that is put together from pieces, (position, length) each:
        int64, from 0; padding behind the last piece is one more."""
        found, at, last = [], 0, None
        for start, length in pieces:
            for begin, number in self.documents(start, start + length, unit):
                if number != last:
                    found.append(at + begin - start)
                    last = number
            at += length
        if at < size:
            found.append(at)
        return np.array(found, np.int64)

    def _between(self, start: int, stop: int) -> slice:
        """Rows with a token in [start, stop)."""
        low = bisect_right(range(len(self.rows)), start, key=self._end)
        return slice(low, bisect_left(range(len(self.rows)), stop, lo=low, key=self._begin))

    def _begin(self, row: int) -> int:
        one = self.rows[row]
        return int(self._stream.starts[one["document"]]) + int(one["offset"])

    def _end(self, row: int) -> int:
        return self._begin(row) + int(self.rows[row]["length"])
