from __future__ import annotations

import pytest

from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, Language, language_of, parser

WITH_GRAMMAR = sorted(name for name, language in LANGUAGES.items() if language.grammar)


def test_most_languages_have_a_grammar() -> None:
    assert len(WITH_GRAMMAR) == 74


@pytest.mark.parametrize("name", WITH_GRAMMAR)
def test_grammar_loads_and_parses(name: str) -> None:
    made = parser(LANGUAGES[name])
    assert made.parse(b"x\n").root_node.end_byte >= 0
    assert parser(LANGUAGES[name]) is made  # one per process


SAMPLES = {
    "a.py": "def f(x):\n    return x\n",
    "a.c": "int f(int x) { return x; }\n",
    "a.h": "#pragma once\nint f(int x);\n",
    "a.cpp": "template <class T> T f(T x) { return x; }\n",
    "a.cs": "class A { int F(int x) { return x; } }\n",
    "a.java": "class A { int f(int x) { return x; } }\n",
    "a.js": "const f = async (x) => { return x; };\n",
    "a.jsx": "const f = () => <a b={1}>c</a>;\n",
    "a.ts": "function f(x: number): number { return x; }\n",
    "a.tsx": "const f = (x: number) => <a b={x}>c</a>;\n",
    "a.go": "package a\n\nfunc f(x int) int { return x }\n",
    "a.rs": "fn f(x: i32) -> i32 { x }\n",
    "a.sh": "if [ -n \"$1\" ]; then echo $1; fi\n",
    "a.yaml": "a: [1, 2]\n",
    "a.sv": "module m(input a, output b); assign b = a; endmodule\n",
    "a.xsl": "<a><b/></a>\n",
    "Makefile": "all: a.o\n\tcc $<\n",
    "a.hs": "module A where\nf :: Int -> Int\nf x = x\n",
    "a.rb": "def f(x)\n  x\nend\n",
    "a.php": "<?php function f($x) { return $x; }\n",
    "a.kt": "fun f(x: Int): Int = x\n",
    "a.sql": "SELECT a FROM b WHERE c = 1;\n",
}  # fmt: skip


@pytest.mark.parametrize("path", SAMPLES)
def test_grammar_is_of_the_right_language(path: str) -> None:
    language = language_of(path)
    assert language is not None
    assert not parser(language).parse(SAMPLES[path].encode()).root_node.has_error


def test_no_grammar_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"no grammar for abap; .*python"):
        parser(LANGUAGES["abap"])


def test_unknown_grammar_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"'nonsense' cannot be loaded.*0\.13\.0"):
        parser(Language("x", (".x",), None, None, "nonsense"))
