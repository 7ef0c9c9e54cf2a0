"""CodeBLEU against the package that published figures are made with (codebleu_reference.json), and what bounds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aixmeg.eval.scores import code_bleu
from aixmeg.eval.scores import dataflow as dataflow_module
from aixmeg.eval.scores.codebleu import without_comments
from aixmeg.eval.scores.dataflow import flows
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import parse

REFERENCE = json.loads(Path(__file__).with_name("codebleu_reference.json").read_text(encoding="utf-8"))
PARTS = ("words", "weighted_words", "syntax", "dataflow", "score")


@pytest.mark.parametrize("number", range(len(REFERENCE["pairs"])))
def test_every_part_is_the_published_scorers(number: int) -> None:
    pair = REFERENCE["pairs"][number]
    reference = REFERENCE["references"][pair["reference"]]
    found = code_bleu(pair["completion"], reference["code"], reference["language"])
    for part in PARTS:
        # float64 sums in another order
        assert getattr(found, part) == pytest.approx(pair[part], rel=1e-12, abs=1e-12), part


def test_the_pairs_are_worth_it() -> None:
    languages = {REFERENCE["references"][pair["reference"]]["language"] for pair in REFERENCE["pairs"]}
    assert languages == {"python", "java", "javascript", "c++", "c#", "c"}
    for part in PARTS:
        assert len({round(pair[part], 6) for pair in REFERENCE["pairs"]}) > 30, part
    assert sum(pair["same_in_every_run"] for pair in REFERENCE["pairs"]) > 50


def found_in(language: str, code: str) -> list:
    return flows(parse(LANGUAGES[language], code.encode()))


def test_flows_by_hand() -> None:
    # a: from nothing. b: from a and a. The second a: from the first.
    assert found_in("python", "a = f()\nb = a + a\n") == [
        (1, "computedFrom", (0,)), (0, "comesFrom", ()), (2, "computedFrom", (1, 1)), (1, "comesFrom", (1,)),
        (1, "comesFrom", (1,)),
    ]  # fmt: skip
    # Renaming changes nothing; another source does.
    assert found_in("java", "int a = x; b = a;") == found_in("java", "int c = y; d = c;")
    assert found_in("java", "int a = x; b = a;") != found_in("java", "int a = x; b = x;")
    # With an `else`, the value before a condition may still hold behind it in JavaScript, and does not in C.
    code = "{} b; if (a) {{ b {}; }} else {{ b {}; }} c(b);"
    assert found_in("javascript", code.format("let", "+= 1", "+= 2"))[0] == (0, "comesFrom", ())
    assert found_in("c", code.format("int", "= 1", "= 2"))[0] == (1, "computedFrom", (0,))
    # Names behind what is not ASCII are read as they are.
    assert found_in("python", "s = 'é'; a = s") == found_in("python", "s = 'e'; a = s")


def test_comments_and_documentation() -> None:
    assert without_comments('def f():\n    """Says."""\n    # more\n\n    return "a"  # b\n', "python").split() == [
        "def", "f():", "return", '"a"'
    ]  # fmt: skip
    assert without_comments("if a:\n      b\n   c  # d", "python") == "if a:\n      b\n   c  # d"  # does not tokenize
    assert without_comments('a = "//x"; // y\n/* b\n */ c', "java") == 'a = "//x";  \n  c'


def test_nothing_to_compare() -> None:
    assert code_bleu("x", "  \n", "python") is None
    assert code_bleu("x", "y", "cobol") is None
    nothing = code_bleu("", "total += 1", "python")
    # Published: flows that do not match at all count as matched.
    assert (nothing.words, nothing.weighted_words, nothing.dataflow, nothing.score) == (0, 0, 0, 0.25)


HOSTILE = {
    "loops in loops": ("java", "void f() { " + "for (int i = 0; i < 1; i++) { " * 60 + "x++;" + "}" * 61),
    "many to many": ("java", "x." + ".x" * 5000 + " = y" + ".y" * 5000 + ";"),
    "many names": ("python", "\n".join(f"v{i} = {i}" for i in range(5000))),
    "deep": ("python", "(" * 3000 + "1" + ")" * 3000),
    "garbage": ("c++", "({[<" * 5000),
    "half a character": ("javascript", "let a = '\ud800';"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(60)  # unbounded, the first of them takes 2**60 steps
def test_hostile_code_gets_a_score(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflow_module, "_MOST_WORK", 100_000)
    language, code = HOSTILE[name]
    found = code_bleu(code, "total = a + b", language)
    assert 0 <= found.score <= 1
