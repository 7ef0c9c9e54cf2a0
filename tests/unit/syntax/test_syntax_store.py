from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syntax_snippets import SNIPPETS

from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import ParseLimit, SyntaxTree, parse
from aixmeg.syntax.store import StaleSyntax, pack, unpack

BY_GRAMMAR = {language.grammar: language for language in LANGUAGES.values() if language.grammar}
PYTHON = LANGUAGES["python"]
COLUMNS = ("start", "end", "kind", "field", "parent", "flags")


def assert_equal(one: SyntaxTree, other: SyntaxTree) -> None:
    for name in COLUMNS:
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
        assert not getattr(other, name).flags.writeable
    assert one.error_bytes == other.error_bytes
    assert one.kinds == other.kinds
    assert one.fields == other.fields
    assert one.source == other.source
    assert one.language == other.language


@pytest.mark.parametrize("grammar", SNIPPETS)
def test_stored_tree_is_the_tree(grammar: str) -> None:
    language, source = BY_GRAMMAR[grammar], SNIPPETS[grammar].encode()
    for text in (source, b"", source[: len(source) // 2], source.replace(b"\n", b"\r\n"), source[::-1], source * 30,
                 b"\xef\xbb\xbf" + source.replace(b"a", "ä\u2028".encode())):  # fmt: skip
        tree = parse(language, text)
        assert_equal(tree, unpack(pack(tree), language, text))


@settings(max_examples=200, deadline=None)
@given(
    grammar=st.sampled_from(sorted(SNIPPETS)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 9)), max_size=8),
)
def test_stored_tree_of_broken_code_is_the_tree(grammar: str, edits: list[tuple[float, bytes, int]]) -> None:
    source = SNIPPETS[grammar].encode()
    for place, text, removed in edits:
        at = int(place * len(source))
        source = source[:at] + text + source[at + removed :]
    try:
        tree = parse(BY_GRAMMAR[grammar], source)
    except ParseLimit:  # Perl's scanner does not end on some garbage
        return
    assert_equal(tree, unpack(pack(tree), BY_GRAMMAR[grammar], source))


def synthetic(rng: np.random.Generator, n: int, source: bytes) -> SyntaxTree:
    """A tree that no grammar would make: places in any order, every kind, field and flag."""
    model = parse(PYTHON, source)
    parent = np.array([-1], np.int32)
    path = [0]
    for i in range(1, n):
        path = path[: int(rng.integers(1, len(path) + 1))]
        parent = np.append(parent, np.int32(path[-1]))
        path.append(i)
    start = rng.integers(0, len(source) + 1, n).astype(np.uint32)
    end = np.maximum(start, rng.integers(0, len(source) + 1, n)).astype(np.uint32)
    kind, field = (rng.integers(0, 65536, n).astype(np.uint16) for _ in range(2))
    flags = rng.integers(0, 256, n).astype(np.uint8)
    return SyntaxTree(
        language=PYTHON, source=source, start=start, end=end, kind=kind, field=field,
        parent=parent, flags=flags, kinds=model.kinds, fields=model.fields, error_bytes=7,
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 50, 6000])  # 6000 nodes have more templates than the table holds
def test_any_tree_can_be_stored(n: int) -> None:
    source = SNIPPETS["python"].encode() * 20
    tree = synthetic(np.random.default_rng(n), n, source)
    found = unpack(pack(tree), PYTHON, source)
    for name in COLUMNS:
        assert getattr(tree, name).tolist() == getattr(found, name).tolist(), name
    assert found.error_bytes == 7


def test_blob_is_small() -> None:
    source = SNIPPETS["python"].encode() * 100
    assert len(pack(parse(PYTHON, source))) < 0.05 * len(source)
    assert pack(parse(PYTHON, source)) == pack(parse(PYTHON, source))


def test_other_text_or_grammar_is_stale() -> None:
    source = SNIPPETS["python"].encode()
    blob = pack(parse(PYTHON, source))
    assert issubclass(StaleSyntax, UserError)
    with pytest.raises(StaleSyntax, match="parse again"):
        unpack(blob, PYTHON, source + b"\n")
    with pytest.raises(StaleSyntax, match="another grammar"):
        unpack(blob, LANGUAGES["ruby"], source)
    with pytest.raises(StaleSyntax, match="at least 28 bytes, this one 0"):
        unpack(b"", PYTHON, source)


def unpacked_or_stale(blob: bytes, source: bytes) -> None:
    try:
        tree = unpack(blob, PYTHON, source)
    except StaleSyntax:
        return
    assert int(tree.start.max()) <= len(source)
    assert int(tree.end.max()) <= len(source)
    assert (tree.parent < np.arange(len(tree.parent))).all()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_damaged_blob_never_crashes(edits: list[tuple[float, int]], inside: bool) -> None:
    source = SNIPPETS["python"].encode() * 3
    blob = pack(parse(PYTHON, source))
    head, body = blob[:28], zlib.decompress(blob[28:])
    damaged = bytearray(body if inside else blob)
    for place, byte in edits:
        damaged[int(place * len(damaged))] = byte
    unpacked_or_stale(head + zlib.compress(damaged) if inside else bytes(damaged), source)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 40), st.integers(0, 40))
def test_any_streams_never_crash(body: bytes, n: int, codes: int) -> None:
    source = b"x = 1\n"
    blob = pack(parse(PYTHON, source))
    codes = min(codes, len(body))
    counts = b"".join(
        number.to_bytes(4, "little") for number in (n, len(source), 0, codes, len(body) - codes)
    )  # fmt: skip
    unpacked_or_stale(blob[:8] + counts + zlib.compress(body), source)


def test_header_cannot_ask_for_more_than_the_blob_holds() -> None:
    source = b"x = 1\n"
    blob = pack(parse(PYTHON, source))
    huge = (2**32 - 1).to_bytes(4, "little")
    for place in (8, 20, 24):
        with pytest.raises(StaleSyntax, match="damaged"):
            unpack(blob[:place] + huge + blob[place + 4 :], PYTHON, source)
