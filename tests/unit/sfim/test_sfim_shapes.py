"""The shapes of FIM-Eval, and bodies and headers, in every language of shape_samples.py."""

from __future__ import annotations

import random

import pytest
from shape_samples import SAMPLES, Sample

from aixmeg.languages import LANGUAGES
from aixmeg.sfim import shapes
from aixmeg.sfim.view import NOWHERE, View
from aixmeg.syntax import parse


def found(language: str, sample: Sample, draw, times: int = 40) -> set[str]:
    """Every text that `draw` gives in so many draws."""
    source = sample.source.encode()
    view = View(parse(LANGUAGES[language], source), min_bytes=1, max_bytes=1 << 20)
    numbers = random.Random(language)
    spans = [draw(view, lambda _purpose: numbers.random()) for _ in range(times)]
    return {source[span.start : span.end].decode() for span in spans if span not in (None, NOWHERE)}


def lines(sample: Sample, first: int, last: int) -> str:
    return "\n".join(sample.source.split("\n")[first - 1 : last]).strip()


def test_at_least_twenty_five_languages():
    assert len({LANGUAGES[name].grammar for name in SAMPLES}) >= 25


@pytest.mark.parametrize("language", SAMPLES)
def test_each_shape_is_where_it_is(language):
    sample = SAMPLES[language]
    body, method = lines(sample, *sample.body), lines(sample, *sample.method)
    assert not parse(LANGUAGES[language], sample.source.encode()).error_bytes
    assert found(language, sample, shapes.method_signature) == {sample.signature}
    assert found(language, sample, shapes.method_body) == {body}
    assert found(language, sample, shapes.method_with_comment) == {method}
    for shape in ("if_statement", "for_statement", "while_statement", "try_statement", "switch_statement"):
        expected = {lines(sample, *sample.statements[shape])} if shape in sample.statements else set()
        if language == "ocaml":  # `;` stands between statements, not in them
            expected = {text.removesuffix(";") for text in expected}
        assert found(language, sample, getattr(shapes, shape)) == expected
    tops, middles, bottoms = (
        found(language, sample, getattr(shapes, f"method_body_{part}")) for part in ("top", "middle", "bottom")
    )
    assert tops and all(body.startswith(top) and top != body for top in tops)
    assert bottoms and all(body.endswith(bottom) and bottom != body for bottom in bottoms)
    assert all(middle in body and not body.startswith(middle) and not body.endswith(middle) for middle in middles)
    assert middles or len(tops) == 1
    inside = found(language, sample, shapes.single_line)
    assert inside and inside <= {line.strip() for line in body.split("\n")}


@pytest.mark.parametrize("language", SAMPLES)
def test_bodies_and_headers_of_all_structures(language):
    sample = SAMPLES[language]
    headers = found(language, sample, shapes.header, 200)
    bodies = found(language, sample, shapes.block_body, 200)
    assert sample.signature in headers
    assert lines(sample, *sample.body) in bodies
    first = sample.source.split("\n")[sample.statements["for_statement"][0] - 1].strip()
    if language not in ("ada", "fortran"):  # their grammars have no node for a loop's body
        assert any(first.startswith(text) for text in headers - {sample.signature})
    assert not any(text.endswith("{") for text in headers)
    assert not any(text.startswith("{") for text in bodies)


DOCUMENTED = b'''
def total(items):
    """Adds numbers."""
    return sum(items)


x = 1  # not above a function
def other():
    return 1


# far away

def third():
    return 2
'''


def test_documentation_strings_count_as_comments_and_far_ones_do_not():
    sample = Sample(DOCUMENTED.decode(), "", (0, 0), (0, 0), {})
    texts = found("python", sample, shapes.method_with_comment)
    assert texts == {DOCUMENTED.decode().split("\n\n\n")[0].strip()}


def test_several_comment_lines_belong_together():
    text = "x = 1\n\n# one\n# two\n# three\ndef total():\n    return 1\n"
    sample = Sample(text, "", (0, 0), (0, 0), {})
    assert found("python", sample, shapes.method_with_comment) == {text[text.index("# one") :].strip()}
