"""Objective, form and span: pure functions, with the configured shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import DataConfig
from aixmeg.config.sfim import STRATEGIES, SfimConfig
from aixmeg.languages import LANGUAGES
from aixmeg.sfim.choose import Choice, Draws, choose, document_id
from aixmeg.sfim.plain import line_span, random_span
from aixmeg.syntax import ParseLimit, parse

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


LINES = b"one\r\ntwo \xc3\xa9\r\n\r\nthree\nfour"


@pytest.mark.parametrize(
    ("source", "language", "reason"),
    [
        (b"# x\n# y\n# z\n", "python", "no_place"),
        (LINES, "no such language", "no_grammar"),
        (LINES, "viml", "no_grammar"),
    ],
)
def test_sfim_without_a_tree_becomes_what_is_configured_and_says_so(source, language, reason):
    def chosen(kind) -> list[Choice]:
        config = DataConfig(ntp_share=0.0, sfim=SfimConfig(without_tree=kind))
        return [pick(config, f"{i}", source, language) for i in range(50)]

    assert set(chosen("ntp")) == {Choice("ntp", "none", None, "", reason)}
    for kind, strategy in (("random", "random"), ("line", "lines")):
        found = chosen(kind)
        assert {choice.without_tree for choice in found} == {reason}
        assert {choice.objective for choice in found} == {"fim"}
        assert strategy in {choice.strategy for choice in found}
        if kind == "line" and source == LINES:
            assert {choice.strategy for choice in found} <= {"lines", "random"}
            whole = [choice.span for choice in found if choice.strategy == "lines"]
            assert len(whole) > 30
            for span in whole:
                assert span is not None
                assert source[: span.start].endswith(b"\n") or span.start == 0
                assert source[: span.end].endswith(b"\n") or span.end == len(source)
    blank = pick(DataConfig(ntp_share=0.0), "a", b"\n \n", "python")
    assert blank == Choice("ntp", "none", None, "", "no_place")


def test_a_parser_that_gives_up_is_a_reason():
    def stored():
        raise ParseLimit

    choice = choose(
        DataConfig(ntp_share=0.0), repository="r", path="p", language="python", source=SOURCE, stored=stored
    )
    assert choice.without_tree == "parse_limit"


def test_a_stored_tree_draws_what_a_fresh_one_does_and_is_asked_only_for_sfim():
    tree, asked = parse(LANGUAGES["python"], SOURCE), []

    def stored():
        asked.append(True)
        return tree

    config = DataConfig()
    for i in range(200):
        names = {"repository": "r", "path": f"{i}", "language": "python", "source": SOURCE}
        asked.clear()
        choice = choose(config, **names, stored=stored)
        assert choice == choose(config, **names)
        assert bool(asked) == (choice.objective == "sfim")


def test_whole_repositories_are_ntp_and_the_share_of_files_stays():
    config = DataConfig(ntp_share=0.5, ntp_repository_share=0.3)
    objectives = [
        [choose(config, repository=f"r{r}", path=f"{i}", language="python", source=SOURCE).objective for i in range(20)]
        for r in range(200)
    ]
    whole = sum(set(members) == {"ntp"} for members in objectives)
    assert whole / 200 == pytest.approx(0.3, abs=0.13)
    ntp = sum(members.count("ntp") for members in objectives) / 4000
    assert ntp == pytest.approx(0.5, abs=0.07)  # the variance is between repositories
    assert list(DataConfig(ntp_share=0.1, ntp_repository_share=0.2).problems("data"))


def test_strategies_are_drawn_by_weight():
    weights = {"whole_node": 3.0, "line": 1.0}
    config = DataConfig(ntp_share=0.0, sfim=SfimConfig(strategies=weights))
    names = Counter(pick(config, f"{i}").strategy for i in range(2000))
    assert set(names) == set(weights)
    assert names["line"] / 2000 == pytest.approx(0.25, abs=0.04)


def test_bad_strategies_are_refused_by_name():
    (text,) = SfimConfig(strategies={"whole_nod": 1.0}).problems("data.sfim")
    assert "whole_nod" in text
    assert all(name in text for name in STRATEGIES)
    for bad in ({"line": -1.0}, {"line": float("nan")}, {"line": 0.0}, {}):
        assert list(SfimConfig(strategies=bad).problems("data.sfim"))
    assert not list(SfimConfig().problems("data.sfim"))


@given(
    text=st.text(max_size=60),
    longest=st.integers(1, 30),
    seed=st.integers(0, 10_000),
)
def test_random_span_cuts_between_characters_and_stays_short(text, longest, seed):
    source = text.encode()
    span = random_span(source, longest, Draws(seed, 0, "d").uniform)
    assert 0 <= span.start <= span.end <= len(source)
    assert span.end - span.start <= longest
    parts = source[: span.start], source[span.start : span.end], source[span.end :]
    assert "".join(part.decode() for part in parts) == text


@given(text=st.text("ab\n\r é", max_size=60), longest=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_line_spans_are_whole_lines(text, longest, seed):
    source = text.encode()
    span = line_span(source, longest, Draws(seed, 0, "d").uniform)
    if span is not None:
        assert 0 < span.end - span.start <= longest
        assert span.start == 0 or source[span.start - 1 : span.start] == b"\n"
        assert span.end == len(source) or source[span.end - 1 : span.end] == b"\n"
        assert source[span.start : span.end].strip() != source.strip()


def test_random_boundaries_are_uniform():
    source = bytes(range(97, 107)) * 10
    spans = [random_span(source, 100, Draws(seed, 0, "d").uniform) for seed in range(3000)]
    # Of two uniform boundaries the smaller has mean 1/3 and the larger 2/3; the standard error is 0.43.
    assert sum(span.start for span in spans) / 3000 == pytest.approx(100 / 3, abs=2)
    assert sum(span.end for span in spans) / 3000 == pytest.approx(200 / 3, abs=2)
    near = [random_span(source, 10, Draws(seed, 0, "d").uniform) for seed in range(3000)]
    assert sum(span.start for span in near) / 3000 == pytest.approx(47.5, abs=3)
