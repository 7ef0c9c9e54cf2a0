"""The cut of a sequence over context-parallel ranks, without process groups."""

import pytest
import torch

from aixmeg.parallel.context import chunk_ends, local_part, local_positions
from aixmeg.train.batches import Batch


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_each_position_has_one_rank(size):
    parts = [local_positions(24, rank=rank, size=size) for rank in range(size)]
    assert {len(part) for part in parts} == {24 // size}
    assert sorted(torch.cat(parts).tolist()) == list(range(24))


def test_ranks_have_equal_work():
    """Position p attends to p + 1 keys."""
    work = {int((local_positions(64, rank=rank, size=4) + 1).sum()) for rank in range(4)}
    assert len(work) == 1


def test_the_ends_are_those_of_the_chunks():
    for rank in range(4):
        first, second = local_positions(64, rank=rank, size=4).chunk(2)
        assert chunk_ends(64, rank=rank, size=4) == (int(first[-1]) + 1, int(second[-1]) + 1)


def test_a_length_that_cannot_be_cut_is_an_error():
    with pytest.raises(ValueError, match="a sequence of 30 tokens cannot be cut into 2 x 4 equal chunks"):
        local_positions(30, rank=0, size=4)


def test_one_rank_keeps_all():
    x = torch.arange(12).view(2, 6)
    assert local_part(x, 1, rank=0, size=1) is x


@pytest.mark.parametrize("padded", [False, True])
def test_the_parts_of_a_batch_add_up_to_its_mean(padded):
    tokens = torch.arange(24).view(2, 12)
    counted = torch.arange(12) < torch.tensor([[12], [5]]) if padded else None
    batch = Batch(tokens=tokens, labels=tokens + 1, counted=counted, share=0.7 if padded else 1.0)
    losses = torch.rand(2, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole = batch.mean(losses)
    expected = losses.mean() if counted is None else losses[counted].mean() * 0.7
    torch.testing.assert_close(whole, expected)
    parts = [batch.part(rank=rank, size=3) for rank in range(3)]
    assert torch.equal(torch.cat([part.tokens for part in parts], dim=1).sort(dim=1).values, tokens)
    assert all(torch.equal(part.labels, part.tokens + 1) for part in parts)
    mine = [part.mean(local_part(losses, 1, rank=rank, size=3)) for rank, part in enumerate(parts)]
    torch.testing.assert_close(torch.stack(mine).sum(), whole)


def test_a_part_without_counted_labels_has_no_loss():
    counted = torch.zeros(1, 12, dtype=torch.bool)
    counted[0, 4] = True
    tokens = torch.arange(12)[None]
    part = Batch(tokens=tokens, labels=tokens, counted=counted).part(rank=0, size=3)
    assert part.mean(torch.ones(1, 4)) == 0
