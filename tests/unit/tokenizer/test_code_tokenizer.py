"""CodeTokenizer: exact round trips, no control id from text, clear refusals."""

import io
import pickle
import sysconfig
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import example, given
from hypothesis import strategies as st

from aixmeg.errors import UserError
from aixmeg.tokenizer import SPECIAL_PIECES, CodeTokenizer
from aixmeg.tokenizer.encoder import encoder_row
from aixmeg.tokenizer.reference import LONG_TEXT

SPECIALS = ["<unk>", "<s>", "</s>", *SPECIAL_PIECES.values()]
FRAGMENTS = [
    *SPECIALS,
    " <AIX-SPAN-PRE>",
    "\u2581",
    "<0x0A>",
    "<0x00>",
    "\0",
    "\t\t",
    "\r\n",
    "    ",
    "def f(x):",
    "123",
]
CODE_LIKE = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=8), max_size=30).map("".join)


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny_tokenizer)


def train_plain(out: Path, **options: object) -> Path:
    """A SentencePiece model with options of the test's choice; by default all that ours has but the special pieces."""
    settings = {
        "model_type": "bpe",
        "vocab_size": 600,
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "allow_whitespace_only_pieces": True,
        "control_symbols": list(SPECIAL_PIECES.values()),
        "minloglevel": 3,
    } | options
    text = Path(sysconfig.get_paths()["stdlib"], "argparse.py").read_text()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text.split("\n")), model_writer=model, **settings)
    out.write_bytes(model.getvalue())
    return out


@given(text=st.text())
@example(text="\ufeffa\ufffe\uffff\U0010ffff")
def test_any_unicode_comes_back_without_control_ids(tokenizer: CodeTokenizer, text: str):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert not any(tokenizer.is_control(token) for token in ids)


@given(text=CODE_LIKE)
def test_code_with_literal_pieces_comes_back_without_control_ids(tokenizer: CodeTokenizer, text: str):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not any(tokenizer.is_control(token) for token in ids)


@pytest.mark.parametrize("text", FRAGMENTS)
def test_ids_are_sentencepieces_own(tokenizer: CodeTokenizer, tiny_tokenizer: Path, text: str):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tiny_tokenizer / "tokenizer.model"))
    if "\u2581" not in text:
        assert tokenizer.encode(f"x {text} y") == reference.encode(f"x {text} y")


def test_u2581_is_its_three_bytes(tokenizer: CodeTokenizer):
    pieces = [tokenizer.piece(token) for token in tokenizer.encode("a\u2581\u2581 b")]
    assert pieces == ["a", *["<0xE2>", "<0x96>", "<0x81>"] * 2, "▁b"]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n" * LONG_TEXT,
        "a" + " " * (3 * LONG_TEXT) + "b",
        ("a" + " " * 50) * 2000,
        "a" * (2 * LONG_TEXT),
        "a" * (LONG_TEXT - 1) + " b" * LONG_TEXT,
        "a" * LONG_TEXT + " b" * LONG_TEXT,
    ],
)
def test_long_texts_are_cut_where_it_changes_nothing(tokenizer: CodeTokenizer, tiny_tokenizer: Path, text: str):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tiny_tokenizer / "tokenizer.model"))
    assert tokenizer.encode(text) == reference.encode(text)


def test_a_long_text_is_whole_where_pieces_reach_over_blanks(tmp_path: Path):
    model = train_plain(tmp_path / "m.model", split_by_whitespace=False)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    pieces = [reference.id_to_piece(token) for token in range(reference.vocab_size())]
    phrase = max((piece for piece in pieces if "\u2581" in piece[1:-1].strip("\u2581")), key=len).replace("\u2581", " ")
    tokenizer = CodeTokenizer(model)
    for shift in range(len(phrase)):  # the first cut would fall on every place of the phrase
        text = "x" * shift + phrase * (2 * LONG_TEXT // len(phrase))
        assert tokenizer.encode(text) == reference.encode(text)


def test_special_ids_are_the_named_pieces(tokenizer: CodeTokenizer):
    names = {field: tokenizer.piece(getattr(tokenizer.special, field)) for field in SPECIAL_PIECES}
    assert names == SPECIAL_PIECES
    assert (tokenizer.piece(0), tokenizer.bos, tokenizer.eos) == ("<unk>", 1, 2)
    assert tokenizer.vocab_size == 1024


def test_decoding_control_ids(tokenizer: CodeTokenizer):
    ids = [tokenizer.bos, tokenizer.special.prefix, *tokenizer.encode(" x"), tokenizer.eos]
    with pytest.raises(UserError, match="token id 1 is <s>"):
        tokenizer.decode(ids)
    assert tokenizer.decode(ids, special="skip") == " x"
    assert tokenizer.decode(ids, special="visible") == "<s>▁<AIX-SPAN-PRE> x</s>"


def test_a_cut_character_keeps_its_bytes(tokenizer: CodeTokenizer):
    ids = tokenizer.encode("\U0001f600")
    assert len(ids) == 4
    assert tokenizer.decode_bytes(ids[:3]) == "\U0001f600".encode()[:3]
    assert tokenizer.decode(ids[:3]) == "\ufffd"


@pytest.mark.parametrize("token", [-1, 1024])
def test_ids_outside_the_vocabulary_are_refused(tokenizer: CodeTokenizer, token: int):
    with pytest.raises(UserError, match=f"token id {token} is outside the vocabulary of 1024"):
        tokenizer.decode([token])


@pytest.mark.parametrize("text", ["a\ud800", "\udfff" * 3, "x" * LONG_TEXT + "\udc80", "\u2581\ud800"])
def test_lone_surrogates_are_refused(tokenizer: CodeTokenizer, text: str):
    with pytest.raises(UserError, match="lone surrogate"):
        tokenizer.encode(text)


def test_workers_get_the_same_tokenizer(tokenizer: CodeTokenizer):
    again = pickle.loads(pickle.dumps(tokenizer))
    assert (again.sha256, again.encode("def f():")) == (tokenizer.sha256, tokenizer.encode("def f():"))


def test_encode_batch(tokenizer: CodeTokenizer):
    texts = ["a b", "", "\u2581"]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("content", [b"", b"not a model at all", bytes(range(256)) * 40])
def test_other_files_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "tokenizer.model").write_bytes(content)
    with pytest.raises(UserError, match="is not a SentencePiece model"):
        CodeTokenizer.from_folder(tmp_path)


def test_a_truncated_model_is_refused(tiny_tokenizer: Path, tmp_path: Path):
    blob = (tiny_tokenizer / "tokenizer.model").read_bytes()
    (tmp_path / "tokenizer.model").write_bytes(blob[: len(blob) // 2])
    with pytest.raises(UserError, match="tokenizer"):
        CodeTokenizer.from_folder(tmp_path)


def test_a_missing_model_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"cannot read the tokenizer .*aixmeg tokenizer train"):
        CodeTokenizer.from_folder(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"control_symbols": list(SPECIAL_PIECES.values())[:4]}, r"lacks .*▁<AIX-ASSISTANT>, ▁<AIX-END-TURN>;"),
        ({"control_symbols": []}, "lacks the special pieces ▁<AIX-SPAN-PRE>, "),
        ({"bos_id": -1}, "lacks the special pieces <s>;"),
        ({"control_symbols": [], "user_defined_symbols": list(SPECIAL_PIECES.values())}, "must be control symbols"),
        ({"byte_fallback": False}, "has no byte pieces"),
        ({"remove_extra_whitespaces": True}, "its normaliser changes code"),
        ({"add_dummy_prefix": True}, "its normaliser changes code"),
        ({"normalization_rule_name": "nmt_nfkc"}, "its normaliser changes code"),
        ({"normalization_rule_name": "nfkc"}, "its normaliser changes code"),
    ],
)
def test_unfit_models_are_refused(tmp_path: Path, options: dict, message: str):
    model = train_plain(tmp_path / "m.model", **options)
    with pytest.raises(UserError, match=message):
        CodeTokenizer(model)


def test_a_plain_model_with_the_special_pieces_is_fit(tmp_path: Path):
    CodeTokenizer(train_plain(tmp_path / "m.model"))


def test_bytes_and_slices_have_the_ids_of_their_texts(tokenizer: CodeTokenizer):
    text = "def f(x):\n    return x  # \u4f60 \u2581 \U0001f600\n"
    data = text.encode()
    assert tokenizer.encode_bytes(data).tolist() == tokenizer.encode(text)
    assert tokenizer.encode_bytes(data).dtype == "int32"
    slices = [(0, 3), (3, 20), (20, len(data)), (5, 5)]
    parts = tokenizer.encode_slices(data, slices)
    assert [part.tolist() for part in parts] == [tokenizer.encode(data[a:b].decode()) for a, b in slices]
    assert tokenizer.encode_slices(data, []) == []
    with pytest.raises(UserError, match="byte 2 of the text is no valid UTF-8"):
        tokenizer.encode_bytes(b"ab\xff")
    with pytest.raises(UserError, match="outside the text"):
        tokenizer.encode_slices(data, [(0, len(data) + 1)])


def test_what_encodes_is_told_and_both_give_the_same(tokenizer: CodeTokenizer, tmp_path: Path):
    assert tokenizer.encoder == "compiled"
    assert encoder_row()[1].startswith("compiled")
    unigram = CodeTokenizer(train_plain(tmp_path / "m.model", model_type="unigram", vocab_size=700))
    assert unigram.encoder == "SentencePiece (unigram model)"
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    data = b"def f(x):\n    return x"
    assert unigram.encode(data.decode()) == reference.encode(data.decode())
    parts = unigram.encode_slices(data, [(0, 9), (9, len(data))])
    assert [part.tolist() for part in parts] == [
        reference.encode(data[:9].decode()),
        reference.encode(data[9:].decode()),
    ]
    assert unigram.decode(unigram.encode("a\u2581b")) == "a\u2581b"


def test_missing_helpers_are_told_by_the_doctor(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise UserError("the compiled helpers are missing; build them")

    monkeypatch.setattr("aixmeg.native.library.data_library", missing)
    assert encoder_row() == ("token encoder", "", "the compiled helpers are missing; build them")
