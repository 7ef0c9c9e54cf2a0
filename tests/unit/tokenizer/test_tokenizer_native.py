"""The compiled encoder gives SentencePiece's ids: SentencePiece itself is the oracle throughout."""

from __future__ import annotations

import functools
import sysconfig
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece_models import VARIANTS, handmade, train, variant

from aixmeg.errors import UserError
from aixmeg.tokenizer.native import NativeEncoder, native_encoder
from aixmeg.tokenizer.reference import NotUtf8Error, ReferenceEncoder

FRAGMENTS = [
    *["<s>", "</s>", "<unk>", "<0x0A>", "\u2581", "\u2581<AIX>", " <AIX>", " <AIX-SPAN-PRE>", "\u2581<AIX-SPAN-PRE>"],
    *[
        "<s2>",
        "def",
        "defx",
        "ab",
        "abc",
        "abcd",
        "bcd",
        "return",
        "\u2603",
        "~",
        "x",
        "é",
        "\n\n",
        "\n",
        "\r\n",
        "\t\t",
    ],
    *["   ", "  ", " ", "0", "1234567890", "\0", "\x01", "\x7f", "\u4f60\u597d", "\U0001f600", "\ufeff", "\u2028"],
    *["\u2580", "\u2582", "\ufffd", "e\u0301", "\u00a0", "self", " self.", "getElementById", ");", "://", "==="],
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=6), max_size=25).map("".join)
LETTERS = st.text(alphabet="ab cdefx\u2581\n", max_size=90)
"""Few letters, so that long runs join in many ways."""


def native(processor: sentencepiece.SentencePieceProcessor, **options: object) -> NativeEncoder:
    made = native_encoder(processor, **({"split_boundary": False} | options))
    assert isinstance(made, NativeEncoder), made
    return made


@dataclass
class Pair:
    """A model, and its encoders with few sets, so that entries give way to others all the time."""

    processor: sentencepiece.SentencePieceProcessor
    encoder: NativeEncoder
    apart: NativeEncoder
    reference_apart: ReferenceEncoder


@pytest.fixture(scope="module", params=list(VARIANTS))
def pair(request: pytest.FixtureRequest) -> Pair:
    processor = variant(request.param)
    return Pair(
        processor,
        native(processor, cache_bits=4),
        native(processor, cache_bits=4, split_boundary=True),
        ReferenceEncoder(processor, split_boundary=True),
    )


@settings(max_examples=100, deadline=None)
@given(text=TEXTS | LETTERS)
def test_any_text_has_sentencepieces_ids(pair, text):
    assert pair.encoder.encode(text.encode()).tolist() == pair.processor.encode(text)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_u2581_apart(pair, text):
    data = text.encode()
    assert pair.apart.encode(data).tolist() == pair.reference_apart.encode(data).tolist()


@settings(max_examples=120, deadline=None)
@given(
    pieces=st.dictionaries(
        st.text(alphabet="ab\u2581é\u4f60", min_size=2, max_size=9), st.integers(-4, 2), min_size=1, max_size=40
    ),
    text=st.text(alphabet="ab \u2581é\u4f60c", max_size=80),
)
def test_pieces_of_any_shape_with_equal_scores(pieces, text):
    """Scores of few values, so that ties abound and longer pieces win over the shorter ones that they are made of."""
    alphabet = [(letter, -9.0) for letter in "ab\u2581"]  # é and the CJK letter only occur inside longer pieces
    blob = handmade([*alphabet, *((piece, float(score)) for piece, score in pieces.items())])
    processor = sentencepiece.SentencePieceProcessor(model_proto=blob)
    assert native(processor, cache_bits=0).encode(text.encode()).tolist() == processor.encode(text)
    assert native(processor).encode(text.encode()).tolist() == processor.encode(text)


def test_every_source_file_of_this_machine():
    """Seconds of files, mostly SentencePiece's: the standard library and the installed packages' Python and C."""
    processor = variant("large")
    encoder = native(processor)
    paths = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "platinclude", "purelib")]
    files = sorted({file for path in paths for file in path.rglob("*") if file.suffix in {".py", ".h", ".c", ".pyi"}})
    rng = np.random.default_rng(0)
    until, checked = time.process_time() + 8, 0
    for index in rng.permutation(len(files)):
        data = files[index].read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        assert encoder.encode(data).tolist() == processor.encode(text), files[index]
        checked += 1
        if time.process_time() > until:
            break
    assert checked > 100


@pytest.mark.parametrize("name", ["plain", "symbols"])
def test_long_texts_without_a_place_to_cut(name):
    processor = variant(name)
    encoder = native(processor)
    for unit in ("a", " ", "e", "te", "ab", "=", "\t", "\u4f60", "\U0001f600", "abcdefghijklmnopqrstuvwxyz"):
        for size in (31, 32, 33, 63, 64, 65, 1000, 20_011):
            text = (unit * size)[:size]
            assert encoder.encode(text.encode()).tolist() == processor.encode(text), (unit, size)


def test_time_grows_with_the_text_and_not_with_its_square():
    """Runs that nothing cuts take O(n log n): twenty times the text, far less than 20 x 20 times the time."""
    encoder = native(variant("plain"))

    def seconds(text: bytes) -> float:
        start = time.process_time()
        encoder.encode(text)
        return time.process_time() - start

    for unit in (b"e", b" ", b"te"):
        small = min(seconds(unit * 50_000) for _ in range(3))
        assert seconds(unit * 1_000_000) < 150 * small + 0.05


def test_slices_are_texts_of_their_own():
    processor = variant("plain")
    encoder = native(processor)
    text = "def f(x):\n    return x  # \u4f60\u597d \u2581 \U0001f600\n" * 30
    data = text.encode()
    cuts = [len(text[:end].encode()) for end in range(0, len(text) + 1, 7)] + [len(data)]
    slices = [(0, 0), (0, len(data)), *pairwise(cuts), (len(data), len(data)), (3, 20)]
    ids, ends = encoder.encode_bounds(data, np.array(slices))
    expected = [processor.encode(data[start:stop].decode()) for start, stop in slices]
    assert [part.tolist() for part in np.split(ids, ends[:-1])] == expected
    assert ends[-1] == len(ids)
    reference = ReferenceEncoder(processor, split_boundary=False).encode_bounds(data, np.array(slices))
    assert [array.tolist() for array in reference] == [ids.tolist(), ends.tolist()]
    nothing = encoder.encode_bounds(b"", np.empty((0, 2), np.int64))
    assert [len(array) for array in nothing] == [0, 0]


@pytest.mark.parametrize("make", [native, lambda p: ReferenceEncoder(p, split_boundary=False)])
@pytest.mark.parametrize(
    "bounds", [[(-1, 2)], [(0, 9)], [(3, 2)], [(0, 2), (2**62, 2**62 + 1)], [(-(2**63), 2**63 - 1)]]
)
def test_slices_outside_the_text_are_refused(make, bounds):
    with pytest.raises(UserError, match="outside the text"):
        make(variant("plain")).encode_bounds(b"abc\xff", np.array(bounds))


BAD_UTF8 = [b"\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf",
            b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xff", b"\xe2\x96", b"\xf0\x9f\x98", b"\xc3"]  # fmt: skip


@pytest.mark.parametrize("bad", BAD_UTF8)
@pytest.mark.parametrize("make", [native, lambda p: ReferenceEncoder(p, split_boundary=False)])
def test_bytes_that_are_no_utf8_are_refused_with_their_place(make, bad):
    encoder = make(variant("plain"))
    for before, after in ((b"", b""), (b"abcdefg", b"\nxyz"), (b"\xe2\x96\x81 abcdefgh" * 3, b"")):
        with pytest.raises(NotUtf8Error, match=f"byte {len(before)} ") as caught:
            encoder.encode(before + bad + after)
        assert caught.value.position == len(before)
    with pytest.raises(NotUtf8Error) as caught:
        encoder.encode_bounds(b"abc" + bad, np.array([(0, 3), (1, 3 + len(bad))]))
    assert caught.value.position == 3


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=40) | st.text(max_size=12).map(lambda t: t.encode()[:-1]))
def test_what_is_utf8_is_pythons_word(data):
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(NotUtf8Error) as caught:
            native_plain().encode(data)
        assert caught.value.position == error.start
    else:
        assert native_plain().encode(data).tolist() == variant("plain").encode(text)


@functools.cache
def native_plain() -> NativeEncoder:
    return native(variant("plain"))


def test_threads_share_an_encoder():
    processor = variant("plain")
    encoder = native(processor, cache_bits=2)
    texts = [f"def f{n}(x{n}):\n    return {n} * x{n}\n" * 50 for n in range(40)]
    expected = [processor.encode(text) for text in texts]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for n in np.random.default_rng(seed).permutation(len(texts)):
            if encoder.encode(texts[n].encode()).tolist() != expected[n]:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "unigram", "vocab_size": 1000}, "unigram model"),
        ({"model_type": "char", "vocab_size": 400}, "char model"),
        ({"normalization_rule_name": "nmt_nfkc"}, "normaliser"),
        ({"add_dummy_prefix": True}, "add_dummy_prefix"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces"),
        ({"byte_fallback": False}, "no byte pieces"),
        ({"user_defined_symbols": ["a b"]}, "unusual"),
    ],
)
def test_models_of_other_kinds_are_sentencepieces_own(options, reason):
    made = native_encoder(train(**({"vocab_size": 1500} | options)), split_boundary=False)
    assert isinstance(made, str)
    assert reason in made


def test_unusual_handmade_models_are_refused():
    alphabet = [("a", -1.0), ("b", -2.0), ("\u2581", -3.0)]
    for pieces, extra in (
        ([*alphabet[:2]], []),  # no blank
        (alphabet, [("ab", 0.0, 5)]),  # unused
        ([*alphabet, ("ab", float("nan"))], []),
        (alphabet, [("a b", 0.0, 4)]),  # a literal blank
    ):
        processor = sentencepiece.SentencePieceProcessor(model_proto=handmade(pieces, extra))
        assert isinstance(native_encoder(processor, split_boundary=False), str), (pieces, extra)


def test_control_and_byte_pieces_are_never_spelt():
    letters = [(letter, -1.0 - place) for place, letter in enumerate("ab\u2581<0x41>unks")]
    longer = ["<0", "<0x", "<0x4", "<0x41", "<u", "<un", "<unk", "<s", "abb", "\u2581a"]
    pieces = [*letters, *((piece, -20.0 - place) for place, piece in enumerate(longer))]
    for control in ("ab", "<s>", "\u2603", "\u2581ab"):
        processor = sentencepiece.SentencePieceProcessor(model_proto=handmade(pieces, [(control, 0.0, 3)]))
        for text in ("abb ab", "<0x41><unk>", "<s> ab<s>", "a\u2603 \u2603", control):
            assert native(processor).encode(text.encode()).tolist() == processor.encode(text)
            assert processor.piece_to_id(control) not in processor.encode(text)
