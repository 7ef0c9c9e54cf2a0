"""Initial weights: keyed by seed and name, the same however they are cut, with the asked distribution."""

import pytest
import torch

from aixmeg.model import init
from aixmeg.model.init import initialise
from aixmeg.model.names import ParameterInfo, Sharding, shard

SHAPES = {
    Sharding.VOCABULARY: (1200, 24),
    Sharding.QKV: (768, 16),
    Sharding.GATE_UP: (1040, 8),
    Sharding.COLUMNS: (520, 32),
}


def drawn(info: ParameterInfo, seed: int = 1, tp_rank: int = 0, tp_size: int = 1, dtype=torch.float32) -> torch.Tensor:
    parameter = torch.full(info.local_shape(tp_size), torch.nan, dtype=dtype)
    initialise(parameter, info, seed, tp_rank=tp_rank, tp_size=tp_size)
    return parameter


@pytest.mark.parametrize("sharding", SHAPES, ids=lambda sharding: sharding.value)
@pytest.mark.parametrize("tp_size", [2, 4, 8])
def test_shards_are_cut_from_the_same_whole(sharding, tp_size):
    info = ParameterInfo("some.weight", SHAPES[sharding], sharding, 0.02)
    whole = drawn(info)
    for rank in range(tp_size):
        part = drawn(info, tp_rank=rank, tp_size=tp_size)
        assert torch.equal(part, shard(info, whole, tp_rank=rank, tp_size=tp_size))


def test_seed_and_name_decide():
    info = ParameterInfo("a", (300, 10), Sharding.QKV, 1.0)
    other = ParameterInfo("b", (300, 10), Sharding.QKV, 1.0)
    assert torch.equal(drawn(info), drawn(info))
    assert not torch.equal(drawn(info), drawn(info, seed=2))
    assert not torch.equal(drawn(info), drawn(other))
    assert not torch.equal(drawn(info)[:44], drawn(info)[256:])  # blocks differ
    torch.manual_seed(99)  # no global generator takes part
    assert drawn(info)[0, 0].item() == pytest.approx(FIRST, abs=0)


FIRST = -0.9478977918624878
"""The first value of seed 1, name "a": runs that are compared with older ones rely on it."""


def test_distribution():
    values = drawn(ParameterInfo("w", (2000, 200), Sharding.COLUMNS, 0.02))
    assert values.mean().item() == pytest.approx(0, abs=0.02 * 5 / 632)  # five standard errors of 400,000 samples
    assert values.std().item() == pytest.approx(0.02, rel=5 / 894)
    tails = (values.abs() > 0.04).float().mean().item()
    assert tails == pytest.approx(0.0455, abs=0.002)  # a normal distribution's beyond two sigma


def test_norms_start_at_one_and_bf16_is_the_rounded_fp32():
    assert torch.equal(drawn(ParameterInfo("norm", (7,), Sharding.REPLICATED, None)), torch.ones(7))
    info = ParameterInfo("w", (100, 4), Sharding.QKV, 0.02)
    assert torch.equal(drawn(info, dtype=torch.bfloat16), drawn(info).bfloat16())


def test_a_rank_draws_only_the_blocks_that_it_needs(monkeypatch):
    seen = []
    original = init._block
    monkeypatch.setattr(
        init, "_block", lambda info, seed, block, rows: seen.append(block) or original(info, seed, block, rows=rows)
    )
    drawn(ParameterInfo("w", (8 * init.BLOCK_ROWS, 2), Sharding.GATE_UP, 1.0), tp_rank=1, tp_size=4)
    assert seen == [1, 5]
