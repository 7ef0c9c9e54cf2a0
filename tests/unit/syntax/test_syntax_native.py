"""The compiled walk against the Python walk, column by column."""

from __future__ import annotations

import bisect
import threading
import time
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syntax_snippets import SNIPPETS

from aixmeg import doctor
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, Language
from aixmeg.native import library
from aixmeg.syntax import ERROR, HAS_ERROR, MISSING, NAMED, ParseLimit, error_share, native, parse, python_walk, tree

BY_GRAMMAR = {language.grammar: language for language in LANGUAGES.values() if language.grammar}
PYTHON, C = LANGUAGES["python"], LANGUAGES["c"]

built = pytest.mark.skipif(not native.is_built(), reason="no source of tree-sitter's core, so no compiled walk")


def outcome(columns, *args):
    """What a walk makes of a file, to be compared: its columns and error bytes, or that it stopped."""
    try:
        made, error_bytes = columns(*args)
    except ParseLimit:
        return "stopped"
    return {name: column.tolist() for name, column in made._asdict().items()} | {"error_bytes": error_bytes}


def both(language: Language, source: bytes):
    compiled = outcome(native.parse_columns, language, source, len(tree.names(language)[0]) - 1)
    assert compiled == outcome(python_walk.parse_columns, language, source)
    return compiled


def test_snippets_cover_every_grammar() -> None:
    assert set(SNIPPETS) == set(BY_GRAMMAR)
    assert len(SNIPPETS) >= 65


@pytest.mark.parametrize("grammar", SNIPPETS)
def test_snippet_parses_without_error(grammar: str) -> None:
    made = parse(BY_GRAMMAR[grammar], SNIPPETS[grammar].encode())
    assert made.error_bytes == 0
    assert not made.flags[0] & HAS_ERROR
    assert np.count_nonzero(made.flags & NAMED) >= 4
    assert made.parent[0] == -1
    assert (made.parent[1:] < np.arange(1, len(made.parent))).all()


@built
@pytest.mark.parametrize("grammar", SNIPPETS)
def test_walks_agree_on_whole_and_broken_snippets(grammar: str) -> None:
    source = SNIPPETS[grammar].encode()
    for text in (source, b"", b"\n", source[: len(source) // 2], source[len(source) // 3 :], source[::-1],
                 source.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + source, source.replace(b" ", b" \xc3\xa9 "),
                 source.replace(b"(", b"["), b"}])" + source, source * 40):  # fmt: skip
        both(BY_GRAMMAR[grammar], text)


ANY = st.one_of(st.binary(max_size=200), st.text(max_size=120).map(str.encode))


@built
@settings(max_examples=120, deadline=None)
@given(
    grammar=st.sampled_from(sorted(set(SNIPPETS) - {"perl"})), garbage=ANY
)  # its scanner may never return to Python's walk
def test_walks_agree_on_garbage(grammar: str, garbage: bytes) -> None:
    both(BY_GRAMMAR[grammar], garbage)


@built
@settings(max_examples=200, deadline=None)
@given(
    grammar=st.sampled_from(["python", "c", "cpp", "java", "javascript", "typescript", "go", "rust", "ruby", "bash"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 4)), max_size=6),
)
def test_walks_agree_on_edited_code(grammar: str, edits: list[tuple[float, bytes, int]]) -> None:
    source = SNIPPETS[grammar].encode()
    for place, text, removed in edits:
        at = int(place * len(source))
        source = source[:at] + text + source[at + removed :]
    compiled = both(BY_GRAMMAR[grammar], source)
    if compiled != "stopped":
        assert native.parse_error_bytes(BY_GRAMMAR[grammar], source) == compiled["error_bytes"]
        assert python_walk.parse_error_bytes(BY_GRAMMAR[grammar], source) == compiled["error_bytes"]


@built
def test_scanner_that_never_returns_is_left() -> None:
    perl, code = BY_GRAMMAR["perl"], SNIPPETS["perl"].encode()
    before = native.parse_columns(perl, code, 0)[0].start.tolist()
    for _ in range(3):  # the parser stays good
        with pytest.raises(ParseLimit):
            native.parse_columns(perl, "é##EOFé".encode(), 0)
        assert native.parse_columns(perl, code, 0)[0].start.tolist() == before


@built
@pytest.mark.parametrize("grammar", ["c", "python", "markdown"])
def test_each_walk_stops_at_a_step_of_its_own(grammar: str, monkeypatch: pytest.MonkeyPatch) -> None:
    language, source = BY_GRAMMAR[grammar], SNIPPETS[grammar].encode() * 30
    for walk in (native, python_walk):

        def stops(limit: int, walk: ModuleType = walk) -> bool:
            monkeypatch.setattr(walk, "step_limit", lambda _source: limit)
            more = (0,) if walk is native else ()
            return outcome(walk.parse_columns, language, source, *more) == "stopped"

        assert stops(0)
        enough = bisect.bisect_left(range(10_000), True, key=lambda limit: not stops(limit))
        assert [stops(enough - 1), stops(enough), stops(enough - 1)] == [True, False, True]


def test_quadratic_parse_is_stopped_by_steps() -> None:
    lua, source = LANGUAGES["lua"], b"|" * 20_000  # unbounded, this takes more than 40 s
    start = time.process_time()
    for _ in range(2):  # and the parser can be used again
        with pytest.raises(ParseLimit):
            parse(lua, source)
        assert error_share(lua, b"local x = 1\n") == 0.0
    assert time.process_time() - start < 5


@pytest.mark.parametrize("text", [b"(" * 100_000, b"x = " + b"(" * 100_000 + b"1" + b")" * 100_000 + b"\n"])
def test_deep_nesting(text: bytes) -> None:
    made = parse(PYTHON, text)
    assert int(made.end.max()) <= len(text)
    assert 0.0 <= made.error_share <= 1.0


def test_parse_without_the_compiled_walk_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    source = SNIPPETS["java"].encode() + b"class { int ;"
    compiled, share = parse(LANGUAGES["java"], source), error_share(LANGUAGES["java"], source)
    monkeypatch.setattr(native, "is_built", lambda: False)
    plain = parse(LANGUAGES["java"], source)
    for name in ("start", "end", "kind", "field", "parent", "flags"):
        one, other = getattr(compiled, name), getattr(plain, name)
        assert one.dtype == other.dtype
        assert one.tolist() == other.tolist()
        assert not one.flags.writeable
        assert not other.flags.writeable
    assert compiled.error_bytes == plain.error_bytes > 0
    assert error_share(LANGUAGES["java"], source) == share == plain.error_share


def test_errors_and_missing_tokens_by_hand() -> None:
    made = parse(C, b"int x = (1;\n")
    assert made.error_bytes == 1  # the missing parenthesis
    missing = np.flatnonzero(made.flags & MISSING)
    assert [made.kinds[made.kind[i]] for i in missing] == [")"]
    assert made.start[missing] == made.end[missing]
    made = parse(C, b"int x;\n@@@@ \nint y;\n")
    outer = int(np.flatnonzero(made.flags & ERROR)[0])
    assert made.kinds[made.kind[outer]] == "ERROR"
    assert made.source[made.start[outer] : made.end[outer]] == b"@@@@"


def test_fields_and_parents_by_hand() -> None:
    made = parse(PYTHON, b"if a:\n    b(c)\n")
    node = made.kind.tolist().index(made.kinds.index("call", 0)) if "call" in made.kinds else -1
    calls = [i for i in range(len(made.kind)) if made.kinds[made.kind[i]] == "call"]
    assert calls == [node]
    assert {
        made.fields[made.field[i]]: made.source[made.start[i] : made.end[i]]
        for i in range(len(made.kind))
        if made.parent[i] == node
    } == {"function": b"b", "arguments": b"(c)"}


@built
def test_threads_have_their_own_parsers() -> None:
    sources = [SNIPPETS[name].encode() * 60 for name in ("python", "c", "java")]
    languages = [PYTHON, C, LANGUAGES["java"]]
    expected = [parse(language, source).kind.tolist() for language, source in zip(languages, sources, strict=True)]
    found: list[bool] = []

    def work() -> None:
        for _ in range(5):
            for language, source, kinds in zip(languages, sources, expected, strict=True):
                found.append(parse(language, source).kind.tolist() == kinds)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 45


def test_language_without_grammar_is_a_user_error() -> None:
    with pytest.raises(UserError, match="no grammar for abap"):
        parse(LANGUAGES["abap"], b"x")


@built
def test_another_release_of_tree_sitter_is_walked_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "0.26.99")
    library.syntax_library.cache_clear()
    try:
        assert not native.is_built()
    finally:
        monkeypatch.undo()
        library.syntax_library.cache_clear()
    assert native.is_built()


def test_doctor_says_which_walk_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def row() -> doctor.Finding:
        return next(item for item in doctor.examine() if item.part == "syntax walk")

    monkeypatch.setattr(native, "is_built", lambda: True)
    assert (row().found, row().advice) == ("native", "")
    monkeypatch.setattr(native, "is_built", lambda: False)
    assert (row().found, row().advice) == ("python", "slower: make tree-sitter builds the native one")
