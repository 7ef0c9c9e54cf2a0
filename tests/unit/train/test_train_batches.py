import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import TrainConfig
from aixmeg.train.batches import make_batch, micro_batches, rank_samples, step_samples


class Numbers:
    """Sample i is [10 i, 10 i + 1, 10 i + 2, 10 i + 3]."""

    def __getitem__(self, index, /):
        return np.arange(10 * index, 10 * index + 4)

    def filled(self, index, /):
        return 4

    def documents(self, index, unit, /):
        return np.arange(1 + index % 3)

    def kinds(self, index, /):
        return np.array([index % 3, 0, (index + 1) % 3], np.uint8)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_every_sample_once_and_in_order_for_any_layout(step, micro, per_rank, dp_size):
    size = micro * per_rank * dp_size
    seen = []
    for dp_rank in range(dp_size):
        mine = rank_samples(step_samples(step, TrainConfig(global_batch_size=size)), dp_rank=dp_rank, dp_size=dp_size)
        batches = list(micro_batches(Numbers(), mine, micro_batch_size=micro, device=torch.device("cpu")))
        assert [len(batch.tokens) for batch in batches] == [micro] * per_rank
        seen += [row[0] // 10 for batch in batches for row in batch.tokens.tolist()]
    assert seen == list(range(step * size, (step + 1) * size))


def test_labels_are_the_next_tokens():
    batch = make_batch([Numbers()[0], Numbers()[7]], torch.device("cpu"))
    assert batch.tokens.tolist() == [[0, 1, 2], [70, 71, 72]]
    assert batch.labels.tolist() == [[1, 2, 3], [71, 72, 73]]
    assert batch.tokens.is_contiguous()
    assert batch.labels.is_contiguous()


def test_documents_of_each_micro_batch_go_whole_to_every_context_parallel_rank():
    from aixmeg.train.documents import DocumentMask

    mask = DocumentMask(unit="example", reset_position_ids=True)
    made = micro_batches(Numbers(), range(4), micro_batch_size=2, device=torch.device("cpu"), mask=mask)
    tables = [batch.documents.tolist() for batch in made if batch.documents is not None]
    assert tables == [
        [[0, 0, 3, 0], [1, 0, 1, 0], [1, 1, 3, 0]],
        [[0, 0, 1, 0], [0, 1, 2, 0], [0, 2, 3, 0], [1, 0, 3, 0]],
    ]
    batch = make_batch([np.arange(5)], torch.device("cpu"))
    whole = dataclasses.replace(batch, documents=torch.tensor([[0, 0, 4, 0]]))
    assert whole.part(rank=1, size=2).documents is whole.documents


class Padded(Numbers):
    """Sample i holds i % 5 tokens."""

    def filled(self, index, /):
        return index % 5


@given(st.integers(0, 50), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
def test_padding_counts_for_nothing_and_shares_add_up_to_the_mean_over_all_labels(step, micro, per_rank, dp_size):
    size = micro * per_rank * dp_size
    samples = step_samples(step, TrainConfig(global_batch_size=size))
    total, count = 0.0, 0
    mean = 0.0
    for dp_rank in range(dp_size):
        mine = rank_samples(samples, dp_rank=dp_rank, dp_size=dp_size)
        for batch in micro_batches(Padded(), mine, micro_batch_size=micro, device=torch.device("cpu"), step=samples):
            losses = batch.labels.double() ** 0.5
            kept = losses[batch.counted]
            total, count = total + float(kept.sum()), count + kept.numel()
            # As the schedule does: a mean per micro-batch, divided by their number, averaged over the ranks.
            mean += float(kept.sum() / max(kept.numel(), 1)) * batch.share / (per_rank * dp_size)
    assert count == sum(max(Padded().filled(index) - 1, 0) for index in samples)
    if count:
        assert mean == pytest.approx(total / count, rel=1e-12)  # float64 sums in another order
