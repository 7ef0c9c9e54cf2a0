"""Orders by key: permutations in constant memory, epochs in two levels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data_stream import numbered, write_stream

import aixmeg.data.epoch as epoch_module
from aixmeg.config import PackingConfig
from aixmeg.data.epoch import Blocks, EpochStream
from aixmeg.data.indexed import TokenStream
from aixmeg.data.shuffle import Shuffle
from aixmeg.data.stream import TrainDataset
from aixmeg.errors import UserError


@given(st.integers(1, 700), st.integers(0, 5), st.integers(0, 5))
def test_a_shuffle_is_a_permutation(count, seed, epoch):
    shuffle = Shuffle(count, seed, epoch, "p")
    assert sorted(shuffle[index] for index in range(count)) == list(range(count))


def test_shuffles_of_two_keys_have_nothing_in_common():
    count = 4000
    one, other = (np.array(list(Shuffle(count, seed, 0, "p"))) for seed in (1, 2))
    # Fixed points, agreements and successions of a random permutation are Poisson with mean 1: above 10 is 1e-8.
    assert (one == np.arange(count)).sum() < 10
    assert (one == other).sum() < 10
    assert (np.diff(one) == 1).sum() < 10
    assert abs(np.corrcoef(one, np.arange(count))[0, 1]) < 0.08  # five standard deviations of 1 / sqrt(4000)


def test_every_place_is_equally_likely():
    count, keys = 6, 3000
    table = np.zeros((count, count))
    for seed in range(keys):
        for index in range(count):
            table[index, Shuffle(count, seed, 0, "p")[index]] += 1
    # Binomial(3000, 1/6): five standard deviations are 102.
    assert np.abs(table - keys / count).max() < 102


def test_a_huge_order_takes_no_memory():
    shuffle = Shuffle(10**12, 1, 0, "p")
    values = [shuffle[index] for index in itertools.chain(range(1000), range(10**12 - 1000, 10**12))]
    assert len(set(values)) == 2000
    assert max(values) < 10**12
    with pytest.raises(IndexError):
        shuffle[10**12]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=40).filter(lambda n: sum(n) > 1),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_blocks_are_shuffled_and_documents_inside_them(tmp_path_factory, lengths, block, epoch):
    prefix = write_stream(tmp_path_factory.mktemp("e") / "train", numbered(lengths))
    whole, epoch_module.BLOCK_DOCUMENTS = epoch_module.BLOCK_DOCUMENTS, block
    try:
        stream = TokenStream(prefix)
        laid = EpochStream(Blocks(stream), seed=3, epoch=epoch)
        tokens = laid.read(0, stream.total).tolist()
        assert sorted(tokens) == list(range(stream.total))
        for start, stop in ((0, 1), (1, stream.total), (stream.total // 2, stream.total // 2 + 1)):
            assert laid.read(start, stop).tolist() == tokens[start:stop]
        # Documents are whole, and those of a block stand together.
        owner = np.repeat(np.arange(len(lengths)), lengths)
        runs = [key for key, _ in itertools.groupby(owner[tokens].tolist())]
        assert len(runs) == len(set(runs))
        blocks = [key for key, _ in itertools.groupby(one // block for one in runs)]
        assert len(blocks) == len(set(blocks))
    finally:
        epoch_module.BLOCK_DOCUMENTS = whole


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_stream_order_continues_every_row_in_the_next_step(tmp_path, rows):
    prefix = write_stream(tmp_path / "train", numbered([50, 70, 30, 91]))
    dataset = TrainDataset(
        prefix, seq_length=8, seed=1, vocab_size=1000, packing=PackingConfig(order="stream"), rows=rows
    )
    steps = 30 // rows
    assert dataset.samples_per_epoch == steps * rows
    for epoch in range(2):
        laid = EpochStream(Blocks(dataset.stream), seed=1, epoch=epoch).read(0, 241)
        for row in range(rows):
            samples = [dataset[epoch * steps * rows + step * rows + row] for step in range(steps)]
            joined = np.concatenate([sample[:-1] for sample in samples] + [samples[-1][-1:]])
            begin = row * steps * 8
            assert joined.tolist() == laid[begin : begin + steps * 8 + 1].tolist()


def test_stream_order_needs_a_window_for_every_row(tmp_path):
    prefix = write_stream(tmp_path / "train", numbered([30]))
    with pytest.raises(UserError, match="holds 3 windows, fewer than the 4 rows"):
        TrainDataset(prefix, seq_length=8, seed=1, vocab_size=1000, packing=PackingConfig(order="stream"), rows=4)
