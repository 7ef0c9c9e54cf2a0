"""Objective, form and span: pure functions, with the configured shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import DataConfig
from aixmeg.sfim.choose import Choice, Draws, choose, document_id, random_span

SOURCE = "def f(ä):\n    return [ä, 'ö', 1234]\n\n\ndef g():\n    return f(f('€'))\n".encode()


def pick(config: DataConfig, path: str, source: bytes = SOURCE, language: str = "python") -> Choice:
    return choose(config, repository="repo", path=path, language=language, source=source)


@pytest.mark.parametrize(
    ("ntp", "fim", "spm"), [(0.3, 0.0, 0.5), (0.3, 0.2, 0.25), (0.0, 0.0, 1.0), (1.0, 0.0, 0.5), (0.0, 1.0, 0.0)]
)
def test_shares_are_the_configured_ones(ntp, fim, spm):
    config = DataConfig(ntp_share=ntp, fim_share=fim, spm_share=spm)
    n = 4000
    choices = [pick(config, f"{i}.py") for i in range(n)]
    objectives = Counter(choice.objective for choice in choices)
    # Four standard deviations of a binomial draw are at most 4 * sqrt(0.25 / 4000) = 0.032.
    assert objectives["ntp"] / n == pytest.approx(ntp, abs=0.032)
    assert objectives["fim"] / n == pytest.approx(fim, abs=0.032)
    assert objectives["sfim"] / n == pytest.approx(1 - ntp - fim, abs=0.032)
    infilling = [choice.mode for choice in choices if choice.span]
    if infilling:
        assert infilling.count("spm") / len(infilling) == pytest.approx(spm, abs=0.04)
    assert {choice.mode for choice in choices if choice.span is None} <= {"none"}


def test_a_choice_depends_on_seed_epoch_and_document_alone():
    config = DataConfig()
    paths = [f"{i}.py" for i in range(300)]
    first = [pick(config, path) for path in paths]
    assert [pick(config, path) for path in reversed(paths)] == first[::-1]
    assert [pick(replace(config, workers=3, valid_share=0.5), path) for path in paths] == first
    for other in (replace(config, seed=1), replace(config, epoch=1)):
        changed = sum(pick(other, path) != choice for path, choice in zip(paths, first, strict=True))
        assert changed > 200
    renamed = [choose(config, repository="fork", path=p, language="python", source=SOURCE) for p in paths]
    assert sum(a != b for a, b in zip(renamed, first, strict=True)) > 200


def test_another_share_moves_no_span_and_no_form():
    few, many = DataConfig(ntp_share=0.1), DataConfig(ntp_share=0.6)
    for i in range(200):
        narrow, wide = pick(many, f"{i}.py"), pick(few, f"{i}.py")
        assert narrow in (wide, Choice("ntp", "none", None))


def test_draws_are_fixed_for_ever():
    """A continued run must draw what it drew before: these numbers may not change."""
    draws = Draws(1234, 0, document_id("repo", "a.py"))
    assert draws.uniform("objective") == 0.5156429728279421
    assert draws.uniform("objective") == draws.uniform("objective") != draws.uniform("mode")
    assert document_id("a", "b/c") != document_id("a/b", "c")


@pytest.mark.parametrize(("source", "language"), [(b"x", "python"), (b"x = 1", "no such language"), (b"+", "viml")])
def test_sfim_without_a_node_becomes_ntp_and_says_so(source, language):
    choice = pick(DataConfig(ntp_share=0.0), "a", source, language)
    assert choice == Choice("ntp", "none", None, without_node=True)


@given(
    text=st.text(max_size=60),
    longest=st.integers(1, 30),
    seed=st.integers(0, 10_000),
)
def test_random_span_cuts_between_characters_and_stays_short(text, longest, seed):
    source = text.encode()
    span = random_span(source, longest, Draws(seed, 0, "d"))
    assert 0 <= span.start <= span.end <= len(source)
    assert span.end - span.start <= longest
    parts = source[: span.start], source[span.start : span.end], source[span.end :]
    assert "".join(part.decode() for part in parts) == text


def test_random_boundaries_are_uniform():
    source = bytes(range(97, 107)) * 10
    spans = [random_span(source, 100, Draws(seed, 0, "d")) for seed in range(3000)]
    # Of two uniform boundaries the smaller has mean 1/3 and the larger 2/3; the standard error is 0.43.
    assert sum(span.start for span in spans) / 3000 == pytest.approx(100 / 3, abs=2)
    assert sum(span.end for span in spans) / 3000 == pytest.approx(200 / 3, abs=2)
    near = [random_span(source, 10, Draws(seed, 0, "d")) for seed in range(3000)]
    assert sum(span.start for span in near) / 3000 == pytest.approx(47.5, abs=3)
