"""TrainDataset and ValidDataset against plain concatenation, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.data.indexed import TokenStream, token_type, write_index
from aixmeg.data.shuffle import Shuffle, permutation
from aixmeg.data.sidecar import FIM, NTP, ROW, SFIM
from aixmeg.data.stream import KIND_MIDDLE, KIND_NTP, TrainDataset, ValidDataset, unigram_loss
from aixmeg.errors import UserError


def write_stream(prefix: Path, documents: list[list[int]], vocab_size: int = 1000) -> Path:
    dtype = token_type(vocab_size)
    tokens = np.concatenate([np.asarray(d, dtype) for d in documents]) if documents else np.empty(0, dtype)
    prefix.with_name(prefix.name + ".bin").write_bytes(tokens.tobytes())
    write_index(prefix.with_name(prefix.name + ".idx"), [len(d) for d in documents], dtype)
    return prefix


def numbered(lengths: list[int]) -> list[list[int]]:
    """Documents in which every token is another number, so that a window tells where it comes from."""
    ends = np.cumsum(lengths)
    return [list(range(int(e) - n, int(e))) for e, n in zip(ends, lengths, strict=True)]


@pytest.mark.parametrize("vocab_size", [65_536, 65_537])
def test_megatron_core_reads_the_same_ids(tmp_path, vocab_size):
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    documents = [[1, vocab_size - 1, 2], [0], list(range(500))]
    prefix = write_stream(tmp_path / "train", documents, vocab_size)
    theirs = IndexedDataset(str(prefix))
    assert [list(theirs[i]) for i in range(len(theirs))] == documents
    assert list(theirs.document_indices) == [0, 1, 2, 3]
    ours = TokenStream(prefix)
    assert [list(ours.document(i)) for i in range(len(ours))] == documents
    assert ours.dtype.itemsize == (2 if vocab_size == 65_536 else 4)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda n: sum(n) > 8),
    seq_length=st.integers(1, 7),
    seed=st.integers(0, 3),
)
def test_an_epoch_is_the_permuted_stream_cut_into_windows(tmp_path_factory, lengths, seq_length, seed):
    documents = numbered(lengths)
    prefix = write_stream(tmp_path_factory.mktemp("s") / "train", documents)
    dataset = TrainDataset(prefix, seq_length=seq_length, seed=seed, vocab_size=1000)
    n = dataset.samples_per_epoch
    assert n == (sum(lengths) - 1) // seq_length
    for epoch in range(3):
        order = permutation(len(documents), seed, epoch, "documents/0")
        stream = [token for index in order for token in documents[index]]
        windows = [tuple(stream[k * seq_length : (k + 1) * seq_length + 1]) for k in range(n)]
        samples = [tuple(int(token) for token in dataset[epoch * n + i]) for i in range(n)]
        assert samples == [windows[k] for k in Shuffle(n, seed, epoch, "windows")]
        assert len(set(samples)) == n  # each window exactly once
        labels = [token for sample in samples for token in sample[1:]]
        assert len(labels) == len(set(labels))  # no token is a label twice in an epoch


def test_order_depends_on_seed_and_epoch_alone(tmp_path):
    prefix = write_stream(tmp_path / "train", numbered([50, 70, 30, 90]))

    def samples(seed: int, indices: list[int]) -> list[list[int]]:
        dataset = TrainDataset(prefix, seq_length=8, seed=seed, vocab_size=1000)
        return [dataset[i].tolist() for i in indices]

    forward = samples(1, list(range(90)))
    assert samples(1, list(range(89, -1, -1))) == forward[::-1]  # no state: a resumed run sees the same samples
    assert samples(2, list(range(90))) != forward
    assert forward[:29] != forward[29:58]
    dataset = TrainDataset(prefix, seq_length=8, seed=1, vocab_size=1000)
    assert dataset[0].dtype == np.int64
    assert dataset[0].shape == (9,)
    # The order is part of the format of a checkpoint: a resumed run must find it unchanged.
    assert permutation(8, 1234, 0, "windows").tolist() == [3, 4, 2, 0, 7, 5, 6, 1]
    assert list(Shuffle(8, 1234, 0, "windows")) == [2, 4, 5, 6, 3, 0, 1, 7]


def row(**values: int) -> tuple[int, ...]:
    return tuple(values[name] for name in ROW.names)


@pytest.fixture
def valid_folder(tmp_path) -> Path:
    """Two documents: NTP examples of 6 and 4 tokens, then PSM of 9 and, in the second document, SPM of 8."""
    ntp = [1, 10, 11, 12, 13, 2]
    short = [1, 14, 15, 2]
    psm = [1, 3, 20, 4, 21, 5, 22, 23, 2]  # middle 22 23
    spm = [1, 3, 4, 30, 5, 31, 32, 2]  # middle 32
    write_stream(tmp_path / "valid", [ntp + short + psm, spm])
    common = {"file": 0, "place": 0, "strategy": 0, "without_tree": 0}
    rows = [
        row(document=0, offset=0, length=6, objective=NTP, mode=0, middle_offset=-1, middle_length=0, **common),
        row(document=0, offset=6, length=4, objective=NTP, mode=0, middle_offset=-1, middle_length=0, **common),
        row(document=0, offset=10, length=9, objective=SFIM, mode=1, middle_offset=16, middle_length=2, **common),
        row(document=1, offset=0, length=8, objective=FIM, mode=2, middle_offset=6, middle_length=1, **common),
    ]
    np.save(tmp_path / "valid.examples.npy", np.array(rows, ROW))
    np.save(tmp_path / "train.unigram.npy", np.arange(40, dtype=np.int64))
    return tmp_path


#        1  10 11 12 13 2 | 1  14 15 2 | 1  3  20 4  21 5  22 23 2 | 1  3  4  30 5  31 32 2
KINDS = [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 0, 2, 2]


@pytest.mark.parametrize("seq_length", [1, 2, 3, 5, 7, 26, 27, 100])
def test_every_label_has_its_kind_once(valid_folder, seq_length):
    dataset = ValidDataset(valid_folder / "valid", seq_length=seq_length, vocab_size=40)
    stream = TokenStream(valid_folder / "valid").read(0, 27).tolist()
    tokens, kinds = [], []
    for k in range(len(dataset)):
        window, kind = dataset[k]
        assert (window.dtype, window.shape, kind.dtype, kind.shape) == (
            np.int64,
            (seq_length + 1,),
            np.uint8,
            (seq_length,),
        )
        tokens += window[1:].tolist()
        kinds += kind.tolist()
    assert tokens[:26] == stream[1:]
    assert kinds[:26] == KINDS[1:]
    assert not any(kinds[26:])  # padding is not counted
    with pytest.raises(IndexError):
        dataset[len(dataset)]


@pytest.mark.parametrize("seq_length", [1, 2, 3, 5, 7, 26, 27, 100])
def test_windows_of_a_kind_are_those_that_count_it(valid_folder, seq_length):
    dataset = ValidDataset(valid_folder / "valid", seq_length=seq_length, vocab_size=40)
    for kind in (KIND_NTP, KIND_MIDDLE):
        counting = [index for index in range(len(dataset)) if (dataset[index][1] == kind).any()]
        assert counting
        assert dataset.windows_of(kind).tolist() == counting


def test_unigram_loss_is_the_mean_over_the_counted_labels(valid_folder):
    stream = TokenStream(valid_folder / "valid").read(0, 27).tolist()
    total = sum(range(40)) + 50  # add-one over a vocabulary of 50
    nats = {token: -np.log((token + 1) / total) for token in set(stream)}
    expected = {
        name: np.mean([nats[t] for t, k in zip(stream, KINDS, strict=True) if k == kind])
        for name, kind in (("ntp", 1), ("middle", 2))
    }
    dataset = ValidDataset(valid_folder / "valid", seq_length=5, vocab_size=50)
    assert unigram_loss(valid_folder, dataset, range(len(dataset))) == pytest.approx(
        expected, rel=1e-12
    )  # summation order only


def test_ids_above_the_vocabulary_are_refused(valid_folder, tmp_path):
    with pytest.raises(UserError, match=r"valid\.bin holds token id 32, but vocab_size is 32"):
        ValidDataset(valid_folder / "valid", seq_length=27, vocab_size=32)[0]
    with pytest.raises(UserError, match="counts 40 ids"):
        unigram_loss(valid_folder, ValidDataset(valid_folder / "valid", seq_length=5, vocab_size=39), [])
    prefix = write_stream(tmp_path / "train", numbered([30]))
    with pytest.raises(UserError, match="token id 2"):
        [TrainDataset(prefix, seq_length=5, seed=0, vocab_size=20)[i] for i in range(5)]
    (tmp_path / "data.json").write_text('{"vocab_size": 64}')
    with pytest.raises(UserError, match="vocabulary of 64, but vocab_size is 40"):
        TrainDataset(prefix, seq_length=5, seed=0, vocab_size=40)


def test_too_few_tokens_names_the_remedy(tmp_path):
    prefix = write_stream(tmp_path / "train", [[1, 2, 3]])
    assert TrainDataset(prefix, seq_length=2, seed=0, vocab_size=10).samples_per_epoch == 1
    with pytest.raises(UserError, match=r"3 tokens, fewer than one sample .* = 4; .* lower model.seq_length"):
        TrainDataset(prefix, seq_length=3, seed=0, vocab_size=10)


@pytest.mark.parametrize("suffix", [".idx", ".bin"])
@pytest.mark.parametrize("cut", [1, 8, 10_000])
def test_cut_files_are_named_with_their_sizes(tmp_path, suffix, cut):
    prefix = write_stream(tmp_path / "train", numbered([30, 40]))
    path = tmp_path / f"train{suffix}"
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    with pytest.raises(UserError, match=rf"train{suffix}.*{max(len(data) - cut, 0)} bytes.*aixmeg data build"):
        TokenStream(prefix)


@pytest.mark.parametrize(("place", "value"), [(0, b"X"), (9, b"\x02"), (17, b"\x63"), (34, b"\x05")])
def test_damaged_index_is_refused(tmp_path, place, value):
    prefix = write_stream(tmp_path / "train", numbered([30, 40]))
    data = bytearray((tmp_path / "train.idx").read_bytes())
    data[place : place + 1] = value
    (tmp_path / "train.idx").write_bytes(data)
    with pytest.raises(UserError, match=r"train\.idx.*aixmeg data build"):
        TokenStream(prefix)


@pytest.mark.parametrize("name", ["valid.idx", "valid.bin", "valid.examples.npy"])
def test_missing_or_mismatched_files(valid_folder, name):
    (valid_folder / name).rename(valid_folder / "elsewhere")
    with pytest.raises(UserError, match=f"cannot read .*{name}"):
        ValidDataset(valid_folder / "valid", seq_length=4, vocab_size=40)
    if name.endswith("npy"):
        (valid_folder / name).write_bytes((valid_folder / "elsewhere").read_bytes()[:-60])
        with pytest.raises(UserError, match="build it again"):
            ValidDataset(valid_folder / "valid", seq_length=4, vocab_size=40)
        np.save(valid_folder / name, np.load(valid_folder / "elsewhere")[:2])
        with pytest.raises(UserError, match="describes 10 tokens, but valid.bin has 27"):
            ValidDataset(valid_folder / "valid", seq_length=4, vocab_size=40)
