"""Which repositories are held out."""

from __future__ import annotations

import pytest

from aixmeg.data.split import held_out
from aixmeg.errors import UserError

EQUAL = {f"repo-{i}": 100 for i in range(1000)}


def test_share_is_obeyed_and_a_new_repository_moves_no_other():
    chosen = held_out(EQUAL, share=0.1, seed=1)
    assert 70 < len(chosen) < 130  # a binomial draw: mean 100, standard deviation 9.5
    more = held_out(EQUAL | {f"new-{i}": 100 for i in range(100)}, share=0.1, seed=1)
    assert more & EQUAL.keys() == chosen
    assert held_out(dict(reversed(EQUAL.items())), share=0.1, seed=1) == chosen
    assert held_out(EQUAL, share=0.1, seed=2) != chosen


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_small_corpora_have_both_splits(seed, share):
    for count in (2, 3, 10):
        tokens = {f"repo-{i}": 10**i for i in range(count)}
        chosen = held_out(tokens, share=share, seed=seed)
        assert 0 < len(chosen) < count


@pytest.mark.parametrize("seed", range(20))
def test_held_out_text_is_not_next_to_nothing(seed):
    """One repository in twenty draws a tiny package as often as a large one."""
    tokens = {f"small-{i}": 100 for i in range(10)} | {f"large-{i}": 10_000 for i in range(10)}
    chosen = held_out(tokens, share=0.05, seed=seed)
    assert sum(tokens[name] for name in chosen) >= 0.025 * sum(tokens.values())


def test_refusals():
    with pytest.raises(UserError, match="the corpus has 1 repository"):
        held_out({"only": 10}, share=0.1, seed=0)
    assert held_out({"only": 10}, share=0.0, seed=0) == frozenset()
