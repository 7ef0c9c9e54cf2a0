"""The Hugging Face form against SentencePiece: real files, nasty alphabets, literal pieces, loading elsewhere."""

import contextlib
import functools
import json
import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from stdlib_sources import stdlib_files
from tokenizers import Tokenizer

from aixmeg.errors import UserError
from aixmeg.tokenizer import SPECIAL_PIECES, CodeTokenizer
from aixmeg.tokenizer.export import export_hf, tokenizer_json
from aixmeg.tokenizer.train import train_sentencepiece

transformers = pytest.importorskip("transformers")
SUFFIXES = (".py", ".pyi", ".h", ".c", ".cpp", ".hpp", ".cu", ".cuh", ".js", ".css", ".html", ".txt")
LITERALS = ["<s>", "</s>a", "<unk>", "\u2581<AIX-SPAN-PRE>x", " <AIX-SPAN-PRE>", "<0x0A>", "a\u2581\u2581 b", "\0"]
BLANKS = [
    "",
    " ",
    "  x ",
    "\t\t x\r\n\r\n",
    "a , b . don 't !",
    "12345 6",
    "\ufeffx",
    "é\u0301 \U0001f600",
    "\u00a0\u2028",
]


@functools.cache
def installed() -> list[Path]:
    """Source files of this Python and its packages."""
    roots = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib", "include")]
    found = {path for root in roots for pattern in SUFFIXES for path in root.rglob(f"*{pattern}")}
    return sorted(path for path in found if path.is_file())


def real_files(suffixes: tuple[str, ...], count: int) -> list[str]:
    """Texts of installed files, spread evenly, at most 30 KB each."""
    found = [path for path in installed() if path.suffix in suffixes]
    texts = []
    for path in found[:: max(1, len(found) // count)]:
        with contextlib.suppress(UnicodeDecodeError):
            texts.append(path.read_bytes()[:30_000].decode())
    return texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer of 4,000 pieces, so that merges of many lengths exist, exported."""
    folder = tmp_path_factory.mktemp("exported")
    texts = [path.read_bytes().decode() for path in stdlib_files()[1::3]]
    train_sentencepiece(texts, folder / "tokenizer.model", vocab_size=4000)
    export_hf(folder / "tokenizer.model", folder)
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(folder)


@pytest.fixture(scope="module")
def hf(folder: Path):
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(("suffixes", "count"), [(SUFFIXES[:2], 250), (SUFFIXES[2:8], 150), (SUFFIXES[8:], 60)])
def test_ids_equal_sentencepieces_on_held_out_real_files(folder: Path, hf, suffixes: tuple[str, ...], count: int):
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    trained_on = {path.read_bytes().decode()[:30_000] for path in stdlib_files()[1::3]}
    texts = [text for text in real_files(suffixes, count) if text not in trained_on and "\u2581" not in text]
    assert texts
    for text in texts:
        crlf = text.replace("\n", "\r\n")
        for form in (text, crlf[:5_000]):
            ids = hf.encode(form)
            assert ids == reference.encode(form)
            assert hf.decode(ids) == form


@pytest.mark.parametrize("text", LITERALS + BLANKS)
def test_every_call_gives_our_ids_and_text_back(tokenizer: CodeTokenizer, hf, text: str):
    ids = tokenizer.encode(text)
    assert hf.encode(text) == hf.encode(text, add_special_tokens=False) == ids
    assert hf(text).input_ids == hf([text, "x"]).input_ids[0] == ids
    assert hf.decode(ids) == hf.decode(ids, skip_special_tokens=True) == hf.batch_decode([ids])[0] == text


@given(text=st.lists(st.sampled_from(LITERALS + BLANKS) | st.text(max_size=20), max_size=12).map("".join))
def test_any_text_gives_our_ids(tokenizer: CodeTokenizer, hf, text: str):
    ids = tokenizer.encode(text)
    assert hf.encode(text) == ids
    assert hf.decode(ids) == text


def test_special_pieces_are_known_by_name(tokenizer: CodeTokenizer, hf):
    assert (hf.bos_token, hf.bos_token_id) == ("<s>", tokenizer.bos)
    assert (hf.eos_token, hf.eos_token_id) == ("</s>", tokenizer.eos)
    assert (hf.pad_token_id, hf.unk_token_id, len(hf)) == (tokenizer.eos, 0, tokenizer.vocab_size)
    assert hf.clean_up_tokenization_spaces is False  # transformers 4 would decode "a , b" as "a, b"
    for field, piece in SPECIAL_PIECES.items():
        assert hf.convert_tokens_to_ids(piece) == getattr(tokenizer.special, field)
    ids = [tokenizer.bos, tokenizer.special.prefix, *tokenizer.encode("  x"), tokenizer.eos]
    assert hf.decode(ids) == "<s>\u2581<AIX-SPAN-PRE>  x</s>"
    assert hf.decode(ids, skip_special_tokens=True) == "  x"


def test_a_trusted_prompt_may_spell_special_pieces(tokenizer: CodeTokenizer, hf):
    prompt = "<s>\u2581<AIX-SPAN-PRE> x"
    assert hf(prompt, split_special_tokens=False).input_ids == [
        tokenizer.bos,
        tokenizer.special.prefix,
        *tokenizer.encode(" x"),
    ]
    assert hf(prompt).input_ids == tokenizer.encode(prompt)  # the wish of one call does not stay


def test_saving_again_keeps_the_behaviour(tokenizer: CodeTokenizer, hf, tmp_path: Path):
    hf.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in LITERALS + BLANKS:
        assert again.encode(text) == tokenizer.encode(text)


def test_loads_beside_a_llama_without_our_code_or_sentencepiece(folder: Path, tokenizer: CodeTokenizer, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(folder, model)
    (model / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('sentencepiece', 'aixmeg', 'torch')))  # None: no such module\n"
        "from transformers import AutoTokenizer\n"
        f"hf = AutoTokenizer.from_pretrained({str(model)!r}); assert hf.is_fast\n"
        "print([hf.encode(text) for text in eval(sys.argv[1])])"
    )
    texts = LITERALS + BLANKS
    done = subprocess.run(
        [sys.executable, "-c", code, repr(texts)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [tokenizer.encode(text) for text in texts]


@pytest.mark.parametrize("alphabet", ["ab", "a-", " a", "abc", " -=", "ab ", "\t a"])
def test_merges_equal_sentencepieces_on_repetitive_text(tmp_path: Path, alphabet: str):
    """Runs and periods are where several pairs give one piece and ties could break differently."""
    rng = random.Random(alphabet)

    def text(length: int) -> str:
        parts = (rng.choice(alphabet) * rng.randint(1, 9) + "".join(rng.choices(alphabet, k=2)) * rng.randint(0, 5)
                 for _ in range(length))  # fmt: skip
        return "".join(parts)

    train_sentencepiece([text(500) for _ in range(30)], tmp_path / "m", vocab_size=281)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m"))
    hf = Tokenizer.from_str(json.dumps(tokenizer_json(CodeTokenizer(tmp_path / "m"))))
    for _ in range(300):
        sample = text(rng.randint(1, 12))
        assert hf.encode(sample).ids == reference.encode(sample)


def test_a_unigram_model_is_refused_and_nothing_is_written(tmp_path: Path):
    text = Path(sysconfig.get_paths()["stdlib"], "argparse.py").read_text().split("\n")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(tmp_path / "m"),
        model_type="unigram",
        vocab_size=700,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        control_symbols=list(SPECIAL_PIECES.values()),
        minloglevel=3,
    )
    with pytest.raises(UserError, match="this is no BPE model"):
        export_hf(tmp_path / "m.model", tmp_path / "out")
    assert not (tmp_path / "out").exists()
