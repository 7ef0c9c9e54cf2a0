"""Training: same text, same bytes; nothing left behind by a failure; what the learnt pieces look like."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdlib_sources import stdlib_files

from aixmeg.errors import UserError
from aixmeg.tokenizer import CodeTokenizer
from aixmeg.tokenizer.train import CHUNK, chunks, train_sentencepiece


def some_texts() -> list[str]:
    return [path.read_bytes().decode() for path in stdlib_files()[:12]]


def test_same_texts_give_the_same_bytes(tmp_path: Path):
    for name in ("a", "b"):
        train_sentencepiece(some_texts(), tmp_path / name, vocab_size=600)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_process_gives_the_same_bytes(tmp_path: Path):
    train_sentencepiece(some_texts(), tmp_path / "here", vocab_size=600)
    files = [str(path) for path in stdlib_files()[:12]]
    code = (
        "import sys; from pathlib import Path; from aixmeg.tokenizer.train import train_sentencepiece\n"
        f"texts = [Path(name).read_bytes().decode() for name in {files!r}]\n"
        "train_sentencepiece(texts, Path(sys.argv[1]), vocab_size=600)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], check=True, timeout=120)
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_blanks_tabs_and_line_ends_are_learnt_and_digits_are_single(tmp_path: Path):
    text = "\t\tx = 1234\r\n\t\ty = 1234\r\n        z = 1234\n" * 200
    train_sentencepiece([text], tmp_path / "m", vocab_size=289)
    tokenizer = CodeTokenizer(tmp_path / "m")
    pieces = [tokenizer.piece(token) for token in tokenizer.encode("\t\tx = 1234\r\n        z")]
    assert pieces[0].startswith("\t\t")
    assert "▁" * 8 in "".join(pieces) and max(map(len, pieces)) >= 8
    assert [piece for piece in pieces if piece.isdigit()] == ["1", "2", "3", "4"]


def test_rare_tabs_and_line_ends_are_text_not_bytes(tmp_path: Path):
    train_sentencepiece(["abcd efgh " * 50_000 + "\t\r\n"], tmp_path / "m", vocab_size=285)
    tokenizer = CodeTokenizer(tmp_path / "m")
    assert all(tokenizer.is_text(token) for token in tokenizer.encode("\t\r\n"))


def test_text_without_a_blank_still_gives_an_exact_tokenizer(tmp_path: Path):
    train_sentencepiece(["abcabc\nabc" * 100], tmp_path / "m", vocab_size=275)
    tokenizer = CodeTokenizer(tmp_path / "m")
    assert tokenizer.decode(tokenizer.encode("a  b")) == "a  b"


def test_long_lines_are_learnt_from(tmp_path: Path):
    train_sentencepiece(["needle " * 20_000], tmp_path / "m", vocab_size=280)  # 140 KB, no newline
    tokenizer = CodeTokenizer(tmp_path / "m")
    assert len(tokenizer.encode(" needle")) == 1


def test_u2581_and_nul_are_not_learnt(tmp_path: Path):
    train_sentencepiece(["abc\u2581abc\0abc\n" * 500], tmp_path / "m", vocab_size=272)
    tokenizer = CodeTokenizer(tmp_path / "m")
    texts = [tokenizer.piece(token) for token in range(tokenizer.vocab_size) if tokenizer.is_text(token)]
    assert sorted(texts)[-1] == "▁"  # the blank alone, which every model has
    assert not any("\0" in piece or (len(piece) > 1 and "▁" in piece) for piece in texts)


@given(text=st.text(alphabet=st.sampled_from("ab \n\u2581\0é"), max_size=50).map(lambda part: part * 400))
def test_chunks_lose_nothing_but_what_is_never_learnt(text: str):
    parts = list(chunks(text))
    assert "".join(parts) == text.replace("\u2581", "").replace("\0", "")
    assert all(0 < len(part) <= CHUNK for part in parts)


def test_chunks_end_at_newlines():
    parts = list(chunks("x = 1\n" * 5000))
    assert len(parts) > 5
    assert all(part.endswith("\n") for part in parts)


@pytest.mark.parametrize(
    ("texts", "vocab_size", "message"),
    [
        ([], 500, "no text to train a tokenizer on"),
        (["", "\0", "\u2581"], 500, "no text to train a tokenizer on"),
        (["hello world\n" * 100], 5000, r"vocab_size=5000 is more than .* at most \d+, or train on more text"),
        (["".join(map(chr, range(0x4E00, 0x5000)))], 300, r"vocab_size=300 does not hold .* at least \d+"),
        (["hello"], 100, r"vocab_size=100 does not hold .* at least \d+"),
    ],
)
def test_impossible_training_says_why_and_leaves_nothing(tmp_path: Path, texts: list, vocab_size: int, message: str):
    with pytest.raises(UserError, match=message):
        train_sentencepiece(texts, tmp_path / "tokenizer.model", vocab_size=vocab_size)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("vocab_size", [0, -5, 3])
def test_senseless_sizes_are_user_errors(tmp_path: Path, vocab_size: int):
    with pytest.raises(UserError, match=f"vocab_size={vocab_size}"):
        train_sentencepiece(some_texts(), tmp_path / "tokenizer.model", vocab_size=vocab_size)


def test_the_suggested_size_works(tmp_path: Path):
    text = ["def hello(world): return world\n" * 100]
    with pytest.raises(UserError) as caught:
        train_sentencepiece(text, tmp_path / "m", vocab_size=5000)
    size = int(str(caught.value).split("at most ")[1].split(",")[0])
    train_sentencepiece(text, tmp_path / "m", vocab_size=size)
    assert CodeTokenizer(tmp_path / "m").vocab_size == size


def test_an_error_of_the_corpus_stays_itself(tmp_path: Path):
    def broken() -> Iterator[str]:
        yield "hello"
        raise UserError("shard 3 is broken")

    with pytest.raises(UserError, match="^shard 3 is broken$"):
        train_sentencepiece(broken(), tmp_path / "m", vocab_size=300)
