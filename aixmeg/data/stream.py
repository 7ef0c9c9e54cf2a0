"""Training samples and held-out windows over the token stream; the order is a pure function of (seed, index).

S is the sequence length. A sample is S + 1 tokens: inputs are tokens[:-1], labels tokens[1:].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from aixmeg.config import PackingConfig
from aixmeg.config.sections import DocumentUnit
from aixmeg.data.epoch import Blocks, EpochStream
from aixmeg.data.indexed import TokenStream
from aixmeg.data.labels import KIND_MIDDLE, KIND_NONE, KIND_NTP, Labels
from aixmeg.data.packing import PackedSamples
from aixmeg.data.shuffle import Shuffle
from aixmeg.data.sidecar import load_array
from aixmeg.errors import UserError
from aixmeg.files import read_json, read_jsonl


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
        described = prefix.with_name(prefix.name + ".examples.npy").exists()  # foreign data has no sidecar
        self._labels = Labels(prefix, self.stream) if described else None
        self._blocks = Blocks(self.stream)
        # A global batch may straddle two epochs, so both orders stay at hand.
        self._stream_of = lru_cache(maxsize=2)(lambda epoch: EpochStream(self._blocks, seed=seed, epoch=epoch))
        self._shuffle_of = lru_cache(maxsize=2)(lambda epoch: Shuffle(windows, seed, epoch, "windows"))

    def __getitem__(self, index: int) -> np.ndarray:
        """Sample `index`, int64 [S + 1]; any index from 0 on, epoch after epoch; zeros where a packed one is padded."""
        tokens = self.stream.join(self.pieces(index), self.seq_length + 1)
        _check_ids(tokens, self.vocab_size, self.stream.token_file)
        return tokens

    def pieces(self, index: int) -> list[tuple[int, int]]:
        """Where the tokens of sample `index` are stored: (position in the stream, length) of each piece."""
        epoch, window = self.place(index)
        if self._packed is not None:
            return self._packed.pieces(window)
        start = window * self.seq_length
        return self._stream_of(epoch).pieces(start, start + self.seq_length + 1)

    def kinds(self, index: int) -> np.ndarray:
        """What the labels of sample `index` are (`Labels`), uint8 [S]; KIND_NONE where no sidecar says it."""
        kinds, filled, labels = np.zeros(self.seq_length + 1, np.uint8), 0, self._labels
        if labels is None:
            return kinds[1:]
        for start, length in self.pieces(index):
            part = labels.kinds(start, start + length)
            if part[0] == KIND_NTP:
                part[0] = KIND_NONE  # text that goes on here does not follow what stands before it in the sample
            kinds[filled : filled + length] = part
            filled += length
        return kinds[1:]

    def documents(self, index: int, unit: DocumentUnit) -> np.ndarray:
        """Where examples or repositories begin among the inputs of sample `index`, int64, from 0.

        Raises:
            UserError: no sidecar tells them.
        """
        if self._labels is None:
            raise UserError(
                f"{self.stream.token_file} has no .examples.npy beside it, which tells documents apart; build it with "
                "`aixmeg data build`, or set train.document_mask to null"
            )
        starts = self._labels.document_starts(self.pieces(index), unit, size=self.seq_length + 1)
        return starts[starts < self.seq_length]

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
        return sum(length for _, length in self.pieces(index))


class ValidDataset:
    """The held-out stream in its own order, cut at multiples of S; the last window is padded and not counted there.

    Item k is (tokens int64 [S + 1], kind uint8 [S]); kind[t] says what the label tokens[t + 1] is (`Labels`).
    `row_languages` holds, for each row of the sidecar, its number in `languages`, from 1; 0 where no file tells it.

    Raises:
        UserError: unreadable, cut-off or mismatched files, an empty split, ids that the vocabulary lacks.
    """

    def __init__(self, prefix: Path, *, seq_length: int, vocab_size: int) -> None:
        self.stream = TokenStream(prefix)
        self.seq_length, self.vocab_size = seq_length, vocab_size
        _check_vocabulary(prefix, vocab_size)
        self.labels = Labels(prefix, self.stream)
        if len(self.labels.rows) == 0 or self.stream.total < 2:
            raise UserError(f"{prefix}.examples.npy has no examples; hold out repositories with data.valid_share")
        self._count: int = -(-(self.stream.total - 1) // seq_length)
        self.languages, self.row_languages = _languages(prefix, len(self.labels.rows))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Window `index`: tokens int64 [S + 1] and the kind of each label, uint8 [S]."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        start = index * self.seq_length
        piece = self.read(start, min(start + self.seq_length + 1, self.stream.total))
        tokens = np.zeros(self.seq_length + 1, np.int64)
        tokens[: len(piece)] = piece
        return tokens, self._labelled(index, self.labels.kinds)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Tokens of the stream positions [start, stop).

        Raises:
            UserError: ids that the vocabulary lacks.
        """
        tokens = self.stream.read(start, stop)
        _check_ids(tokens, self.vocab_size, self.stream.token_file)
        return tokens

    def documents(self, index: int, unit: DocumentUnit) -> np.ndarray:
        """Where examples or repositories begin among the inputs of window `index`, int64, from 0."""
        start = index * self.seq_length
        length = min(self.seq_length + 1, self.stream.total - start)
        starts = self.labels.document_starts([(start, length)], unit, size=self.seq_length + 1)
        return starts[starts < self.seq_length]

    def languages_of(self, index: int) -> np.ndarray:
        """The language of each label of window `index` that counts, uint16 [S]: its number in `languages`, from 1."""
        return self._labelled(index, lambda start, stop: self.labels.of_rows(start, stop, self.row_languages))

    def windows_of(self, kind: int) -> np.ndarray:
        """Ascending indices, int64, of the windows that count at least one label of `kind`."""
        firsts, ends, kinds = self.labels.spans()
        rows = (kinds == kind) & (firsts < ends)
        # Label t of window k stands at position k * S + t + 1 of the stream.
        first, last = (firsts[rows] - 1) // self.seq_length, (ends[rows] - 2) // self.seq_length
        count = last - first + 1
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.unique(np.repeat(first, count) + within)

    def _labelled(self, index: int, of: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """What `of` says of the labels of a window, and 0 behind the end of the stream."""
        start = index * self.seq_length + 1
        found = of(start, min(start + self.seq_length, self.stream.total))
        return np.pad(found, (0, self.seq_length - len(found)))


def _languages(prefix: Path, rows: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Languages of a split in the order of their names, and of each row its language's number, uint16, from 1; none
    where no .files.jsonl tells them."""
    path = prefix.with_name(prefix.name + ".files.jsonl")
    if not path.exists():
        return (), np.zeros(rows, np.uint16)
    found = [str(line["language"]) for line in read_jsonl(path)]
    if len(found) != rows:
        raise UserError(f"{path} describes {len(found)} files, but {prefix.name}.examples.npy {rows}; build both again "
                        "with `aixmeg data build`")  # fmt: skip
    names = sorted(set(found))
    number = {name: place for place, name in enumerate(names, 1)}
    return tuple(names), np.array([number[name] for name in found], np.uint16)


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
