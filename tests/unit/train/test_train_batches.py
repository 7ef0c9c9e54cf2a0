import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.train.batches import make_batch, micro_batches, rank_samples, step_samples


class Numbers:
    """Sample i is [10 i, 10 i + 1, 10 i + 2, 10 i + 3]."""

    def __getitem__(self, index, /):
        return np.arange(10 * index, 10 * index + 4)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_every_sample_once_and_in_order_for_any_layout(step, micro, per_rank, dp_size):
    size = micro * per_rank * dp_size
    seen = []
    for dp_rank in range(dp_size):
        mine = rank_samples(step_samples(step, global_batch_size=size), dp_rank=dp_rank, dp_size=dp_size)
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
