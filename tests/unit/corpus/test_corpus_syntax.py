from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tree_sitter import Node

from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.syntax import make_step
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, parser
from aixmeg.syntax import error_share

PYTHON, C = LANGUAGES["python"], LANGUAGES["c"]


def recursive_error_bytes(node: Node) -> int:
    """The definition: outermost error nodes, and one byte per missing token. Looks at every node."""
    if node.is_error:
        return node.end_byte - node.start_byte
    return int(node.is_missing) + sum(recursive_error_bytes(child) for child in node.children)


@pytest.mark.parametrize(
    ("language", "source", "share"),
    [
        (PYTHON, b"def f(x):\n    return x\n", 0.0),
        (PYTHON, b"", 0.0),
        (PYTHON, b"\xef\xbb\xbfx = 1\r\n", 0.0),
        (C, b"int x = (1;\n", 1 / 12),  # the missing parenthesis
        (C, b"int x;\n@@@@ \nint y;\n", 4 / 20),
    ],
)
def test_error_share(language, source: bytes, share: float) -> None:
    assert error_share(language, source) == pytest.approx(share, abs=1e-12)


def test_text_that_is_no_code_is_all_error() -> None:
    assert error_share(C, b"Dear all, please find ((( attached } the minutes of our } meeting. Yours }\n" * 5) > 0.3


SOURCE = (
    b"def f(x):\n    if x:\n        return [x, 'y']\n    return {1: (x, 2)}\n\n\nclass A:\n    z = lambda q: q\n" * 3
)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(SOURCE)), st.sampled_from([b"(", b"}", b"$", b"'", b" if ", b"\n"]))))
def test_cursor_finds_what_recursion_finds(edits: list[tuple[int, bytes]]) -> None:
    source = SOURCE
    for position, text in edits:
        source = source[:position] + text + source[position + 1 :]
    expected = recursive_error_bytes(parser(PYTHON).parse(source).root_node) / len(source)
    assert error_share(PYTHON, source) == min(1.0, expected)


@pytest.mark.parametrize("language", ["python", "c", "c++", "javascript", "java", "go", "rust", "typescript"])
def test_ten_thousand_nested_parentheses(language: str) -> None:
    closed = b"(" * 10_000 + b"1" + b")" * 10_000
    assert error_share(PYTHON, b"x = " + closed + b"\n") == 0.0
    for source in (closed, b"(" * 10_000, b")" * 10_000, b"x = " + closed + b" $ @ }", b"({[" * 10_000):
        assert 0.0 <= error_share(LANGUAGES[language], source) <= 1.0


def test_bound_leaves_room_for_dense_code() -> None:
    # The densest real files take a tenth of the bound; this takes more steps per byte than any of them.
    assert error_share(PYTHON, b"a=" + b"-1" * 50_000 + b"\n") == 0.0
    assert error_share(C, b"int a[]={" + b"0,1," * 50_000 + b"2};") == 0.0
    assert error_share(C, b";" * 100_000) == 0.0


def test_language_without_grammar_is_a_user_error() -> None:
    with pytest.raises(UserError, match="no grammar for abap"):
        error_share(LANGUAGES["abap"], b"x")


def document(language: str, content: bytes) -> Document:
    return Document(repository="r", path="p", language=language, content=content)


def test_step_drops_by_share_and_language() -> None:
    broken = b"int x;\n@@@@ \nint y;\n"  # 4 of 20 bytes
    make_step(0.2)(document("c", broken))
    with pytest.raises(Dropped, match="syntax_errors"):
        make_step(0.19)(document("c", broken))
    by_language = make_step(0.05, {"c": 0.3, "java": 0.0})
    by_language(document("c", broken))
    with pytest.raises(Dropped, match="syntax_errors"):
        by_language(document("c++", broken))
    with pytest.raises(Dropped, match="syntax_errors"):
        by_language(document("java", b"class A { int f() { return (1; } }\n"))  # one byte


def test_step_lets_a_language_without_grammar_pass() -> None:
    make_step(0.0)(document("abap", b"@@@"))


def test_step_drops_what_exceeds_the_bound() -> None:
    with pytest.raises(Dropped, match="parse_limit"):
        make_step(1.0)(document("lua", b"|" * 20_000))


def test_macros_do_not_drop_a_c_file() -> None:
    source = (
        b"#define API(t) extern t\nAPI(int) f(void);\nTABLE(a, b) { return 1; }\n" + b"int g(int x) { return x; }\n" * 9
    )
    assert parser(C).parse(source).root_node.has_error
    make_step(0.05)(document("c", source))
