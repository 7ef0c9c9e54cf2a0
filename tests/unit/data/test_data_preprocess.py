"""tools/preprocess_data.py against an oracle: megatron-core's builder fed by SentencePiece, as Megatron's tool does."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from stdlib_sources import stdlib_files

from aixmeg.data import preprocess as tool
from aixmeg.data import preprocess_part
from aixmeg.data.indexed import TokenStream
from aixmeg.data.preprocess import main, megatron_type
from aixmeg.data.preprocess_options import parse_arguments
from aixmeg.errors import UserError

ROOT = Path(__file__).parents[3]
ODD = [
    {"text": ""},
    {"text": ["first sentence", "", "second \u2581 one"], "note": float("nan")},
    {"text": [""]},
    {"text": []},
    {"text": "\u2581\u2581a  <s></s><unk> \u2028 \0 \U0001f600\r\n\tx", "number": 2**80},
    {"text": "last"},
]
"""Documents without tokens, of several sequences, and with what tokenizers stumble over."""


def write_lines(path: Path, records: list[dict]) -> bytes:
    data = "".join(json.dumps(record, ensure_ascii=number % 2 == 0) + "\n" for number, record in enumerate(records))
    path.write_bytes(data.encode())
    return data.encode()


@pytest.fixture(scope="module")
def records() -> list[dict]:
    """A hundred standard-library modules, the odd documents among them."""
    files = [{"text": path.read_text(), "path": path.name} for path in stdlib_files()[40:140]]
    return [*files[:3], *ODD, *files[3:], *ODD]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model for the compiled encoder, and kinds that go through SentencePiece."""
    folder = tmp_path_factory.mktemp("models")
    plain = {
        "model_type": "bpe", "vocab_size": 900, "byte_fallback": True, "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False, "add_dummy_prefix": False, "minloglevel": 3,
    }  # fmt: skip
    kinds = {
        "compiled": plain,
        "llama": plain | {"add_dummy_prefix": True},
        "unigram": {"model_type": "unigram", "vocab_size": 900, "minloglevel": 3},
        "no eos": plain | {"eos_id": -1},
    }
    text = Path(stdlib_files("argparse.py")[0]).read_text()
    for name, options in kinds.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text.split("\n")), model_writer=model, **options
        )
        (folder / f"{name}.model").write_bytes(model.getvalue())
    return {name: folder / f"{name}.model" for name in kinds}


def oracle(folder: Path, model: Path, records: list[dict], *, eod: bool, key: str = "text") -> tuple[bytes, bytes]:
    """The two files as Megatron's tool makes them: its builder, its treatment of sentences, SentencePiece's ids."""
    from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    builder = IndexedDatasetBuilder(str(folder / "o.bin"), dtype=DType.optimal_dtype(processor.vocab_size()))
    for record in records:
        sentences = record[key] if isinstance(record[key], list) else [record[key]]
        encoded = [ids for ids in map(processor.encode, sentences) if ids]
        if encoded and eod:
            encoded[-1].append(processor.eos_id())
        builder.add_document([token for ids in encoded for token in ids], [len(ids) for ids in encoded])
    builder.finalize(str(folder / "o.idx"))
    return (folder / "o.bin").read_bytes(), (folder / "o.idx").read_bytes()


def run(data: Path | str, prefix: Path, model: Path, *more: str) -> int:
    words = ["--input", str(data), "--output-prefix", str(prefix), "--tokenizer-model", str(model)]
    return main([*words, "--tokenizer-type", "SentencePieceTokenizer", "--log-interval", "0", *more])


def outputs(prefix: Path, key: str = "text") -> tuple[bytes, bytes]:
    return tuple(Path(f"{prefix}_{key}_document.{suffix}").read_bytes() for suffix in ("bin", "idx"))


@pytest.mark.parametrize("eod", [False, True])
@pytest.mark.parametrize("kind", ["compiled", "llama", "unigram"])
def test_the_files_are_megatrons_byte_for_byte(tmp_path, models, records, kind, eod):
    some = records if kind == "compiled" else records[:20]
    write_lines(tmp_path / "x.jsonl", some)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models[kind], *["--append-eod"] * eod) == 0
    assert outputs(tmp_path / "out") == oracle(tmp_path, models[kind], some, eod=eod)
    stream = TokenStream(tmp_path / "out_text_document")
    stream.verify()
    assert len(stream.boundaries) == len(some) + 1


@pytest.mark.parametrize("workers", ["1", "2", "5"])
def test_workers_and_cuts_change_nothing(tmp_path, models, records, monkeypatch, workers):
    data = write_lines(tmp_path / "x.jsonl", records[:25])
    expected = oracle(tmp_path, models["compiled"], records[:25], eod=True)
    for part, batch in ((50_000, 3000), (1997, 1), (len(data), 1 << 20)):
        monkeypatch.setattr(preprocess_part, "PART_BYTES", part)
        monkeypatch.setattr(preprocess_part, "_BATCH_BYTES", batch)
        more = ("--append-eod", "--workers", workers)
        assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"], *more) == 0
        assert outputs(tmp_path / "out") == expected


def test_several_keys_and_files_and_compressions(tmp_path, models, records):
    parts = [records[:10], records[10:30], records[30:45]]
    names = ["a.jsonl.gz", "b.jsonl.bz2", "c.json"]
    for name, part, pack in zip(names, parts, (gzip.compress, bz2.compress, bytes), strict=True):
        (tmp_path / name).write_bytes(
            pack(write_lines(tmp_path / "plain", [{"path": "", **record} for record in part]))
        )
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf\n" + (tmp_path / "c.json").read_bytes()[:-1] + b"\n \r\n")
    together = [{"path": "", **record} for part in parts for record in part]
    found = f"{tmp_path}/[abc].*"
    assert run(found, tmp_path / "out", models["compiled"], "--json-keys", "path", "text", "--workers", "2") == 0
    for key in ("path", "text"):
        assert outputs(tmp_path / "out", key) == oracle(tmp_path, models["compiled"], together, eod=False, key=key)


def test_zstd(tmp_path, models, records):
    zstandard = pytest.importorskip("zstandard", reason="zstandard is not installed")
    data = write_lines(tmp_path / "x.jsonl", records[:20])
    (tmp_path / "y.jsonl.zst").write_bytes(zstandard.compress(data[:5000]) + zstandard.compress(data[5000:]))
    assert run(tmp_path / "y.jsonl.zst", tmp_path / "out", models["compiled"]) == 0
    assert outputs(tmp_path / "out") == oracle(tmp_path, models["compiled"], records[:20], eod=False)


def test_a_line_of_many_megabytes(tmp_path, models):
    records = [{"text": "x = 1; " * 800_000}, {"text": "e" * 300_000}, {"text": "end"}]
    write_lines(tmp_path / "x.jsonl", records)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"], "--workers", "2") == 0
    assert outputs(tmp_path / "out") == oracle(tmp_path, models["compiled"], records, eod=False)


def test_without_orjson_the_records_are_the_same(tmp_path, models, records, monkeypatch):
    write_lines(tmp_path / "x.jsonl", records)
    run(tmp_path / "x.jsonl", tmp_path / "fast", models["compiled"])
    monkeypatch.setattr(preprocess_part, "_fast_loads", json.loads)
    run(tmp_path / "x.jsonl", tmp_path / "slow", models["compiled"])
    assert outputs(tmp_path / "fast") == outputs(tmp_path / "slow")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"text": "a', "no JSON object on one line"),
        (b'{"text": "\xff"}', "no JSON object on one line .*utf-8"),
        (b'["a"]', "a JSON list, but each line must be an object"),
        (b'{"content": "a"}', r"has no 'text', only \['content'\]; name its text with --json-keys"),
        (b'{"text": null}', "has no text in 'text' but None"),
        (b'{"text": ["a", 5]}', r"has no text in 'text' but \['a', 5\]"),
        (b'{"text": "a\\ud800"}', r"lone surrogate '\\ud800'"),
    ],
)
def test_bad_lines_are_named_and_leave_nothing(tmp_path, models, monkeypatch, capsys, line, message, workers):
    monkeypatch.setattr(preprocess_part, "PART_BYTES", 30)
    good = b'{"text": "some words"}\n'
    (tmp_path / "x.jsonl").write_bytes(good * 3 + line + b"\n" + good)
    (tmp_path / "out_text_document.bin").write_bytes(b"old")
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"], "--workers", workers) == 2
    error = capsys.readouterr().err
    assert f"x.jsonl, byte {3 * len(good)}: " in error
    assert re.search(message, error), error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out_text_document.bin", "x.jsonl"]
    assert (tmp_path / "out_text_document.bin").read_bytes() == b"old"


@pytest.mark.parametrize("cut", [20, -4])
def test_a_cut_archive_is_named(tmp_path, models, capsys, cut):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"text": "words"}\n' * 1000)[:cut])
    assert run(tmp_path / "x.jsonl.gz", tmp_path / "out", models["compiled"]) == 2
    assert "x.jsonl.gz cannot be read to its end" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl.gz"]


WORDS = ["--input", "X", "--output-prefix", "out", "--tokenizer-model", "m", "--tokenizer-type", "Llama2Tokenizer"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split-sentences"], "--split-sentences is not supported: sentences are split with NLTK"),
        (["--vocab-file=v"], "--vocab-file is not supported"),
        (["--tokenizer-sentencepiece-legacy"], "special tokens outside the model"),
        (["--find-optimal-num-workers"], "as many --workers as there are cores"),
        (
            ["--tokenizer-type", "GPT2BPETokenizer"],
            "SentencePieceTokenizer, GPTSentencePieceTokenizer, Llama2Tokenizer",
        ),
        (["--workers", "0"], "--workers 0 is too small; give 1 or more"),
        (["--json-keys", "a", "a"], "names a field twice"),
        (["--input", "nothing*.jsonl"], "names no file"),
        (["--input", __file__], "none of the endings .jsonl, .json, .gz"),
    ],
)
def test_options_that_are_refused(tmp_path, more, message):
    (tmp_path / "x.jsonl").write_text("")
    words = [str(tmp_path / "x.jsonl") if word == "X" else word for word in WORDS]
    with pytest.raises(UserError, match=message):
        parse_arguments([*words, *more])


def test_options_of_megatron_that_change_nothing_are_taken(tmp_path):
    (tmp_path / "x.jsonl").write_text("")
    words = [str(tmp_path / "x.jsonl") if word == "X" else word for word in WORDS]
    options = parse_arguments([*words, "--partitions", "4", "--keep-sequential-samples", "--lang", "english"])
    assert options == parse_arguments(words)


def test_models_that_do_not_serve(tmp_path, models, capsys):
    write_lines(tmp_path / "x.jsonl", ODD)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["no eos"], "--append-eod") == 2
    assert "has no end-of-sentence piece for --append-eod" in capsys.readouterr().err
    assert run(tmp_path / "x.jsonl", tmp_path / "out", tmp_path / "x.jsonl") == 2
    assert "is not a SentencePiece model" in capsys.readouterr().err
    assert run(tmp_path / "x.jsonl", tmp_path / "out", tmp_path / "none") == 2
    assert "cannot read the tokenizer" in capsys.readouterr().err


def test_ids_have_megatrons_width():
    assert [megatron_type(size).itemsize for size in (65_499, 65_500, 65_536, 100_000)] == [2, 4, 4, 4]


def command(*words: str | Path) -> list[str]:
    return [
        sys.executable,
        str(ROOT / "tools" / "preprocess_data.py"),
        *map(str, words),
        "--tokenizer-type",
        "Llama2Tokenizer",
    ]


def test_the_tool_itself_loads_no_torch(tmp_path, models, records):
    write_lines(tmp_path / "x.jsonl", records)
    words = command("--input", tmp_path / "x.jsonl", "--output-prefix", tmp_path / "deep" / "out", "--workers", "2",
                    "--tokenizer-model", models["compiled"], "--log-interval", "50")  # fmt: skip
    done = subprocess.run([words[0], "-X", "importtime", *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "encoder: compiled" in done.stderr
    assert "Processed 112 documents" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.rpartition("|")[2].strip() in ("torch", "pydantic")]
    assert outputs(tmp_path / "deep" / "out") == oracle(tmp_path, models["compiled"], records, eod=False)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_no_output_and_the_next_one_is_whole(tmp_path, models, records, how):
    """Stopped as soon as there is something half-written; its workers go with it."""
    many = records * 20
    write_lines(tmp_path / "x.jsonl", many)
    words = command("--input", tmp_path / "x.jsonl", "--output-prefix", tmp_path / "out", "--workers", "2",
                    "--tokenizer-model", models["unigram"], "--log-interval", "0")  # fmt: skip
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    work = tmp_path / ".out.preprocess"
    deadline = time.monotonic() + 60
    while not list(work.glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    children = [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.send_signal(how)
    process.wait(60)
    assert not list(tmp_path.glob("out*"))
    assert work.exists() == (how == signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(running(child) for child in children)
    write_lines(tmp_path / "x.jsonl", records)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out_text_document.bin",
        "out_text_document.idx",
        "x.jsonl",
    ]


def running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_two_runs_of_one_output_do_not_meet(tmp_path, models, capsys):
    write_lines(tmp_path / "x.jsonl", ODD)
    with tool._work_folder(tmp_path / ".out.preprocess"):
        assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"]) == 2
        assert "another run is writing the same output" in capsys.readouterr().err
    assert not (tmp_path / ".out.preprocess").exists()


def test_a_worker_that_is_killed_is_a_user_error(tmp_path, models, monkeypatch, capsys):
    monkeypatch.setattr(preprocess_part, "PART_BYTES", 40)
    monkeypatch.setattr(tool, "encode_part", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    write_lines(tmp_path / "x.jsonl", ODD)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"], "--workers", "2") == 2
    assert "a worker process was killed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_a_full_disk_is_a_user_error(tmp_path, models, monkeypatch, capsys):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tool.os, "sendfile", full)
    write_lines(tmp_path / "x.jsonl", ODD)
    assert run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"]) == 2
    assert "No space left on device; nothing was left half-written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.jsonl"]


def test_lengths_are_those_of_the_texts(tmp_path, models, records):
    """The files are readable as the training data that they are."""
    write_lines(tmp_path / "x.jsonl", records[:30])
    run(tmp_path / "x.jsonl", tmp_path / "out", models["compiled"])
    processor = sentencepiece.SentencePieceProcessor(model_file=str(models["compiled"]))
    stream = TokenStream(tmp_path / "out_text_document")
    texts = [processor.decode(np.asarray(stream.document(i), np.int64).tolist()) for i in range(3)]
    assert texts == [record["text"] for record in records[:3]]
