"""Training samples and held-out windows over the token stream; the order is a pure function of (seed, index).

S is the sequence length. A sample is S + 1 tokens: inputs are tokens[:-1], labels tokens[1:].
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.config import PackingConfig
from aixmeg.data.epoch import Blocks, EpochStream
from aixmeg.data.indexed import TokenStream
from aixmeg.data.packing import PackedSamples
from aixmeg.data.shuffle import Shuffle
from aixmeg.data.sidecar import NTP, ROW, load_array
from aixmeg.errors import UserError
from aixmeg.files import read_json

KIND_NONE: Final = 0
KIND_NTP: Final = 1
KIND_MIDDLE: Final = 2


def _check_ids(tokens: np.ndarray, vocab_size: int, where: Path) -> None:
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size:
        raise UserError(
            f"{where} holds token id {int(tokens.max())}, but vocab_size is {vocab_size}; build the data with the "
            "tokenizer of this configuration (`aixmeg data build`)"
        )


def _check_vocabulary(prefix: Path, vocab_size: int) -> None:
    """Refuse data of a larger vocabulary at once, not at the first rare token; foreign data has no data.json."""
    summary = prefix.with_name("data.json")
    if not summary.exists():
        return
    built = read_json(summary).get("vocab_size", 0)
    if built > vocab_size:
        raise UserError(
            f"{prefix.parent} was built with a vocabulary of {built}, but vocab_size is {vocab_size}; set "
            "model.vocab_size to the tokenizer's, or build the data again with `aixmeg data build`"
        )


class TrainDataset:
    """Sample i is window `order(i mod n)` of epoch i // n, n being `samples_per_epoch`.

    Without packing, an epoch lays the documents end to end in a new order (`EpochStream`) and cuts that stream at
    multiples of S; neighbouring windows share one token, so every label is seen once. At most S - 1 tokens at the end
    of an epoch's stream are left out, other ones each epoch. With packing, windows are the samples of the plan
    (`PackedSamples`), the same in every epoch.

    `order: shuffle` visits the windows in a new order each epoch. `order: stream` gives the samples of a step, `rows`
    of them, to as many readers of the stream: sample t * rows + b is window b * steps + t, so that row b of a batch
    goes on in the next; fewer than `rows` windows at the end are left out.

    Nothing here grows with the data but memory maps: orders are computed where they are read.

    Args:
        prefix: of the split's files.
        seq_length: S.
        seed: decides every order.
        vocab_size: of the model, to refuse data of a larger one.
        packing: policy and order.
        rows: global batch size, which the stream order divides the data by.

    Raises:
        UserError: unreadable or cut-off files, fewer than S + 1 tokens or `rows` windows, ids outside the vocabulary.
    """

    def __init__(
        self,
        prefix: Path,
        *,
        seq_length: int,
        seed: int,
        vocab_size: int,
        packing: PackingConfig | None = None,
        rows: int = 1,
    ) -> None:
        self.packing = packing or PackingConfig()
        self.seq_length, self.seed, self.vocab_size, self.rows = seq_length, seed, vocab_size, rows
        _check_vocabulary(prefix, vocab_size)
        self._packed = PackedSamples(prefix, seq_length=seq_length) if self.packing.policy == "best_fit" else None
        self.stream = self._packed.stream if self._packed is not None else TokenStream(prefix)
        if self.stream.total < seq_length + 1:
            raise UserError(
                f"{self.stream.token_file} holds {self.stream.total} tokens, fewer than one sample of seq_length + 1 = "
                f"{seq_length + 1}; add sources to the corpus or lower model.seq_length"
            )
        windows = len(self._packed) if self._packed is not None else (self.stream.total - 1) // seq_length
        self._steps = windows // rows
        if self.packing.order == "stream" and self._steps == 0:
            raise UserError(
                f"{self.stream.token_file} holds {windows} windows, fewer than the {rows} rows of a batch that "
                "data.packing.order=stream reads side by side; lower train.global_batch_size or use order=shuffle"
            )
        self.samples_per_epoch: int = self._steps * rows if self.packing.order == "stream" else windows
        self._blocks = Blocks(self.stream)
        # A global batch may straddle two epochs, so both orders stay at hand.
        self._stream_of = lru_cache(maxsize=2)(lambda epoch: EpochStream(self._blocks, seed=seed, epoch=epoch))
        self._shuffle_of = lru_cache(maxsize=2)(lambda epoch: Shuffle(windows, seed, epoch, "windows"))

    def __getitem__(self, index: int) -> np.ndarray:
        """Sample `index`, int64 [S + 1]; any index from 0 on, epoch after epoch; zeros where a packed one is padded."""
        epoch, window = self.place(index)
        if self._packed is not None:
            tokens, _ = self._packed[window]
        else:
            start = window * self.seq_length
            tokens = self._stream_of(epoch).read(start, start + self.seq_length + 1)
        _check_ids(tokens, self.vocab_size, self.stream.token_file)
        return tokens

    def place(self, index: int) -> tuple[int, int]:
        """Epoch of a sample, and its window in that epoch."""
        if index < 0:
            raise IndexError(index)
        epoch, position = divmod(index, self.samples_per_epoch)
        if self.packing.order == "stream":
            step, row = divmod(position, self.rows)
            return epoch, row * self._steps + step
        return epoch, self._shuffle_of(epoch)[position]

    def filled(self, index: int) -> int:
        """Tokens of sample `index` that are not padding."""
        if self._packed is None:
            return self.seq_length + 1
        return sum(length for _, length in self._packed.pieces(self.place(index)[1]))


class ValidDataset:
    """The held-out stream in its own order, cut at multiples of S; the last window is padded and not counted there.

    Item k is (tokens int64 [S + 1], kind uint8 [S]); kind[t] says what the label tokens[t + 1] is: KIND_NTP for the
    text of a next-token example (header and `</s>` included, `<s>` not), KIND_MIDDLE for a middle and the `</s>` that
    closes it, KIND_NONE for everything else.

    Raises:
        UserError: unreadable, cut-off or mismatched files, an empty split, ids that the vocabulary lacks.
    """

    def __init__(self, prefix: Path, *, seq_length: int, vocab_size: int) -> None:
        self.stream = TokenStream(prefix)
        self.seq_length, self.vocab_size = seq_length, vocab_size
        _check_vocabulary(prefix, vocab_size)
        path = prefix.with_name(prefix.name + ".examples.npy")
        rows = load_array(path, ROW)
        if len(rows) == 0 or self.stream.total < 2:
            raise UserError(f"{path} has no examples; hold out repositories with data.valid_share")
        ends = self.stream.starts[rows["document"]] + rows["offset"] + rows["length"]
        if int(ends[-1]) != self.stream.total:
            raise UserError(
                f"{path} describes {int(ends[-1])} tokens, but {self.stream.token_file.name} has {self.stream.total}; "
                "build both again with `aixmeg data build`"
            )
        is_ntp = rows["objective"] == NTP
        middles = self.stream.starts[rows["document"]] + rows["middle_offset"]
        # Counted labels of each example: [first, end) in the stream.
        self._first = np.where(is_ntp, ends - rows["length"] + 1, middles)
        self._kind = np.where(is_ntp, KIND_NTP, KIND_MIDDLE).astype(np.uint8)
        self._ends = ends
        self._count: int = -(-(self.stream.total - 1) // seq_length)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Window `index`: tokens int64 [S + 1] and the kind of each label, uint8 [S]."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        start = index * self.seq_length
        piece = self.stream.read(start, min(start + self.seq_length + 1, self.stream.total))
        _check_ids(piece, self.vocab_size, self.stream.token_file)
        tokens = np.zeros(self.seq_length + 1, np.int64)
        tokens[: len(piece)] = piece
        return tokens, self._kinds(start + 1, start + 1 + self.seq_length)

    def windows_of(self, kind: int) -> np.ndarray:
        """Ascending indices, int64, of the windows that count at least one label of `kind`."""
        rows = (self._kind == kind) & (self._first < self._ends)
        # Label t of window k stands at position k * S + t + 1 of the stream.
        first, last = (self._first[rows] - 1) // self.seq_length, (self._ends[rows] - 2) // self.seq_length
        count = last - first + 1
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.unique(np.repeat(first, count) + within)

    def _kinds(self, start: int, stop: int) -> np.ndarray:
        """Kind of the stream positions [start, stop), uint8."""
        kinds = np.zeros(stop - start, np.uint8)
        row = int(np.searchsorted(self._ends, start, side="right"))
        while row < len(self._ends) and self._first[row] < stop:
            first, end = max(int(self._first[row]), start), min(int(self._ends[row]), stop)
            kinds[first - start : max(first, end) - start] = self._kind[row]
            row += 1
        return kinds


def unigram_loss(folder: Path, dataset: ValidDataset, windows: Iterable[int]) -> dict[str, float | None]:
    """Cross-entropy, in nats per token, of a unigram model of the training tokens (counts plus one).

    Returns:
        {"ntp": …, "middle": …} over the labels that `windows` of `dataset` count; None where they count none.

    Raises:
        UserError: no counts in `folder`, or counts of another vocabulary.
    """
    vocab_size = dataset.vocab_size
    counts = load_array(folder / "train.unigram.npy", np.dtype("<i8")).astype(np.float64)
    if len(counts) > vocab_size:
        raise UserError(
            f"{folder / 'train.unigram.npy'} counts {len(counts)} ids, but vocab_size is {vocab_size}; build the data "
            "with the tokenizer of this configuration"
        )
    smoothed = np.pad(counts, (0, vocab_size - len(counts))) + 1
    nats = np.log(smoothed.sum()) - np.log(smoothed)
    totals = {KIND_NTP: 0.0, KIND_MIDDLE: 0.0}
    labels = {KIND_NTP: 0, KIND_MIDDLE: 0}
    for window in windows:
        tokens, kinds = dataset[window]
        for kind in totals:
            chosen = tokens[1:][kinds == kind]
            totals[kind] += float(nats[chosen].sum())
            labels[kind] += len(chosen)
    mean = {kind: totals[kind] / labels[kind] if labels[kind] else None for kind in totals}
    return {"ntp": mean[KIND_NTP], "middle": mean[KIND_MIDDLE]}
