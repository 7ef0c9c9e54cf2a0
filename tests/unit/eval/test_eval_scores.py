"""Scorers against the programs that published figures were made with (scores_reference.json), and by hand."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest

from aixmeg.errors import UserError
from aixmeg.eval.scores import (
    bootstrap,
    corpus_bleu,
    edit_similarity,
    exact_match,
    identifiers,
    lines_match,
    pass_at_k,
    sentence_bleu,
)
from aixmeg.eval.scores.text import names_in

REFERENCE = json.loads(Path(__file__).with_name("scores_reference.json").read_text(encoding="utf-8"))
CLOSE = {"rel": 1e-12, "abs": 1e-12}  # float64 sums in another order


@pytest.mark.parametrize("pair", REFERENCE["pairs"], ids=lambda pair: pair["completion"][:20] or "empty")
def test_pairs_score_as_rapidfuzz_codebleu_and_sacrebleu_say(pair: dict) -> None:
    ours, theirs = pair["completion"], pair["reference"]
    assert edit_similarity(ours, theirs) == pytest.approx(pair["edit_similarity"], **CLOSE)
    for smoothing in ("epsilon", "exp"):
        found = sentence_bleu(ours.split(), theirs.split(), smoothing=smoothing)
        assert found == pytest.approx(pair[f"bleu_{smoothing}"], **CLOSE), smoothing


@pytest.mark.parametrize(("smoothing", "key"), [("epsilon", "corpus_eps"), ("exp", "exp"), ("none", "none")])
def test_corpus_bleu(smoothing: str, key: str) -> None:
    texts = [[pair[name].split() for pair in REFERENCE["pairs"]] for name in ("completion", "reference")]
    assert corpus_bleu(*texts, smoothing=smoothing) == pytest.approx(REFERENCE["corpus"][key], **CLOSE)


def test_exact_match_and_lines() -> None:
    assert exact_match("  a = 1\n", "a = 1")
    assert not exact_match("a  = 1", "a = 1")
    assert lines_match("a = 1\n\n    b = 2  ", "  a = 1\nb = 2\n")
    assert not lines_match("a = 1", "a = 1\nb = 2")


def test_identifiers_as_crosscodeeval_counts_them() -> None:
    assert names_in("for item in load(\"a b\", 'it\\'s'): x_1 = 2e5 + item", "python") == [
        "item", "load", "x_1", "e5", "item"
    ]  # fmt: skip
    score = identifiers("return self.total(a, b)", "return self.total(b, a, c)", "python")
    assert (score.exact, score.f1) == (False, pytest.approx(2 * 4 / (4 + 5)))  # self total a b | self total a b c
    assert identifiers("new Foo(x)", "new Foo(x)", "java") == identifiers("Foo(x)", "Foo( x )", "java")
    assert identifiers("1 + 2", "3", "python").f1 == 0.0


@pytest.mark.parametrize("samples", [1, 2, 5, 7])
def test_pass_at_k_is_the_share_of_draws_with_a_pass(samples: int) -> None:
    for correct, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        draws = list(itertools.combinations([True] * correct + [False] * (samples - correct), k))
        expected = sum(map(any, draws)) / len(draws)
        assert pass_at_k(samples, correct, k) == pytest.approx(expected, **CLOSE), (correct, k)


@pytest.mark.parametrize(("samples", "correct", "k"), [(3, 1, 4), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_pass_at_k_refuses(samples: int, correct: int, k: int) -> None:
    with pytest.raises(UserError, match=f"pass@{k} of {samples} samples"):
        pass_at_k(samples, correct, k)


def test_bootstrap_is_the_interval_of_all_resamples() -> None:
    """Three values: the mean of three draws has 10 outcomes with known probabilities, counted here one by one."""
    values = [0.0, 0.5, 1.0]
    means = sorted(np.mean(draw) for draw in itertools.product(values, repeat=3))
    found = bootstrap(values, resamples=40_000, seed=3, level=0.8)
    assert found.mean == 0.5
    assert (found.low, found.high) == (pytest.approx(np.quantile(means, 0.1)), pytest.approx(np.quantile(means, 0.9)))


def test_bootstrap_agrees_with_the_normal_approximation_and_repeats() -> None:
    values = [1.0] * 300 + [0.0] * 700
    found = bootstrap(values, seed=1)
    width = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    # A resampled quantile scatters by about 1 % of the width's size with 10,000 draws; means move in steps of 0.001.
    assert found.low == pytest.approx(0.3 - width, abs=0.002)
    assert found.high == pytest.approx(0.3 + width, abs=0.002)
    assert found == bootstrap(values, seed=1)
    assert found != bootstrap(values, seed=2)
    with pytest.raises(UserError, match="no task was scored"):
        bootstrap([])
