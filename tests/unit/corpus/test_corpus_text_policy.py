"""No byte is lost silently: what the policy changes is counted, what it cannot read is a named drop."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config import Config, CorpusConfig
from aixmeg.config.corpus import SourcesConfig
from aixmeg.config.validate import conflicts
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.text_policy import apply_text_policy


def applied(content: bytes, **policy) -> tuple[bytes, dict[str, int]]:
    counts: Counter[str] = Counter()
    made = apply_text_policy(content, SourcesConfig(**policy), counts)
    return made, {name: count for name, count in counts.items() if count}


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_utf8_stays_as_it_is_by_default(text: str) -> None:
    made, counts = applied(text.encode())
    assert made == text.encode()
    assert not any(name.startswith(("text.decoded", "text.bom_stripped", "text.endings")) for name in counts)


@given(st.binary(max_size=60))
def test_any_bytes_give_utf8_or_a_named_drop(content: bytes) -> None:
    for encodings in ((), ("utf-16", "cp1252"), ("utf-7",)):
        try:
            made, counts = applied(content, encodings=encodings)
        except Dropped as drop:
            assert drop.reason in {"nul_bytes", "invalid_utf8", "lone_surrogate"}
        else:
            assert b"\0" not in made
            made.decode()
            assert made == content or any(name.startswith("text.decoded_as.") for name in counts)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a\0b", "nul_bytes"), ("x = 1\n".encode("utf-16"), "nul_bytes"), (b"caf\xe9", "invalid_utf8"),
        (b"\xc0\x80", "invalid_utf8"), (b"\xed\xa0\x80", "lone_surrogate"), (b"\xed\xa0\xbd\xed\xb8\x80",
        "lone_surrogate"),
        (b"\xed\xa0\x80\xff", "invalid_utf8"), (b"\xf5\x80\x80\x80", "invalid_utf8"), (b"a\xe2\x82", "invalid_utf8"),
    ],
)  # fmt: skip
def test_drops(content: bytes, reason: str) -> None:
    with pytest.raises(Dropped) as error:
        applied(content)
    assert error.value.reason == reason


@pytest.mark.parametrize(
    ("content", "encodings", "text", "name"),
    [
        ("é = 1\n".encode("utf-16"), ("utf-16",), "é = 1\n", "utf-16"),
        ("\ufeffé".encode("utf-16-be"), ("utf-16", "latin-1"), "é", "utf-16"),
        ("\ufeffé".encode("utf-32-le"), ("utf-32",), "é", "utf-32"),
        (b"caf\xe9", ("utf-16", "latin-1"), "café", "iso8859-1"),
        (b"caf\xe9 \x80", ("cp1252",), "café €", "cp1252"),
        ("日本".encode("shift_jis"), ("euc_jp", "shift_jis"), "日本", "shift_jis"),
    ],
)
def test_other_encodings_are_tried_in_order_and_counted(content, encodings, text, name) -> None:
    assert applied(content, encodings=encodings) == (text.encode(), {f"text.decoded_as.{name}": 1})


def test_utf16_needs_its_mark() -> None:
    with pytest.raises(Dropped, match="nul_bytes"):
        applied("x = 1\n".encode("utf-16-le"), encodings=("utf-16", "utf-32"))


def test_utf8_is_never_taken_for_another_encoding() -> None:
    assert applied("é".encode(), encodings=("latin-1",)) == ("é".encode(), {})


def test_byte_order_marks() -> None:
    content = "\ufeffa\ufeffb".encode()
    assert applied(content) == (content, {"text.bom": 1})
    assert applied(content, byte_order_mark="strip") == ("a\ufeffb".encode(), {"text.bom": 1, "text.bom_stripped": 1})


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (b"a\nb\n", {}), (b"a\r\nb\r\n", {"text.crlf": 1}), (b"a\rb\r", {"text.lone_cr": 1}),
        (b"a\r\nb\n", {"text.crlf": 1, "text.mixed_endings": 1}), (b"a\r\r\n", {"text.crlf": 1, "text.lone_cr": 1,
        "text.mixed_endings": 1}),
        (b"a\rb\n", {"text.lone_cr": 1, "text.mixed_endings": 1}),
        (b"a\rb\nc\r\n", {"text.crlf": 1, "text.lone_cr": 1, "text.mixed_endings": 1}),
    ],
)  # fmt: skip
def test_line_endings(content: bytes, counts: dict[str, int]) -> None:
    assert applied(content) == (content, counts)
    made, changed = applied(content, line_endings="lf")
    assert made.decode().split("\n") == content.decode().replace("\r\n", "\r").replace("\n", "\r").split("\r")
    assert changed == counts | ({"text.endings_changed": 1} if counts else {})


def test_configuration_rules() -> None:
    reading = SourcesConfig(encodings=("utf-61", "base64"), git_ref="-x", max_broken_share=2.0, repository_depth=-1)
    found = conflicts(Config(corpus=CorpusConfig(reading=reading)))
    assert len(found) == 5
    assert all(text.startswith("corpus.reading.") for text in found)
