"""FLOPs of a step whose attention stays inside documents, against a count by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from aixmeg.config import Config, LoggingConfig, ModelConfig, TokenizerConfig, TrainConfig
from aixmeg.model.documents import document_table
from aixmeg.train import clock
from aixmeg.train.batches import Batch
from aixmeg.train.step import _attended

LENGTH, RANKS, SECONDS = 8, 2, 4.0
MATRICES = 6 * (2 * (4 * 16 + 48 + 24) + 40)
"""Per token. Two layers: queries, keys, values, projection (4 x 4 each), gate | up (4 x 12), down (6 x 4); ten ids."""


@pytest.fixture
def stopped(monkeypatch):
    """A clock that shows what the test says."""
    now = SimpleNamespace(value=0.0)
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now.value)
    return now


def measuring():
    model = ModelConfig(
        num_layers=2, hidden_size=4, ffn_hidden_size=6, num_attention_heads=2, num_query_groups=2, seq_length=LENGTH,
        vocab_size=10,
    )  # fmt: skip
    train = TrainConfig(global_batch_size=2, micro_batch_size=1, document_mask="example")
    config = Config(
        model=model, tokenizer=TokenizerConfig(vocab_size=10), train=train, logging=LoggingConfig(peak_tflops=1e-7)
    )
    return clock.Clock(
        SimpleNamespace(
            config=config,
            topology=SimpleNamespace(world_size=RANKS),
            device=torch.device("cpu"),
            wrapped=[],
            optimizer=SimpleNamespace(step=lambda: None),
        )
    )


def test_squares_of_lengths_are_added_up():
    tables = [document_table([np.array(starts)], LENGTH, reset_position_ids=True) for starts in ([0, 3], [0])]
    tokens = torch.zeros(1, LENGTH, dtype=torch.int64)
    batches = [Batch(tokens=tokens, labels=tokens, documents=table) for table in tables]
    assert _attended(batches).tolist() == [3**2 + 5**2 + 8**2, 3]
    assert _attended([Batch(tokens=tokens, labels=tokens)]).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("attended", "pairs"), [((98.0,), 98), ((None,), 2 * 64), ((98.0, 34.0), 98 + 34), ((98.0, None), 98 + 2 * 64)]
)
def test_speed_counts_the_pairs_inside_documents(stopped, attended, pairs):
    """Documents of 3, 5 and 8 tokens have 98 pairs; two whole sequences of 8, without a mask, have 128."""
    measured = measuring()
    for step, of_step in enumerate(attended, start=1):
        stopped.value += SECONDS
        measured.step(step, of_step)
    found = measured.report(len(attended))
    tokens, seconds = 2 * LENGTH * len(attended), SECONDS * len(attended)
    # A pair of tokens: a product of scores and one of values over h = 4 columns in each of L = 2 layers, two FLOPs each
    # forward and twice that backward.
    attention = 12 * 2 * 4 * pairs
    for convention, part in (("full", attention), ("causal", attention / 2)):
        per_rank = (MATRICES * tokens + part) / seconds / RANKS
        assert found[f"tflops_{convention}"] == pytest.approx(per_rank / 1e12, rel=1e-4)  # five digits are shown
        assert found[f"mfu_{convention}"] == pytest.approx(per_rank / 1e5, abs=1e-5)
