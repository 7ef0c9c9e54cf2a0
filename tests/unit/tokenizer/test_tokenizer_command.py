"""`aixmeg tokenizer train` on a corpus folder: the report, repeatability, and nothing changed by a failure."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from stdlib_sources import stdlib_files

from aixmeg.config import Config, PathsConfig, TokenizerConfig
from aixmeg.errors import UserError
from aixmeg.files import sha256_file
from aixmeg.tokenizer import CodeTokenizer
from aixmeg.tokenizer import command as module
from aixmeg.tokenizer.check import check_folder
from aixmeg.tokenizer.command import train

FILES = {"tokenizer.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", module.REPORT_FILE}


def write_corpus(folder: Path, texts: list[str], shards: int = 2) -> None:
    """Corpus shards in the form that `aixmeg corpus build` writes."""
    folder.mkdir(parents=True)
    records = [
        {"repository": f"repo{number % 5}", "path": f"src/{number}.py", "language": "python", "text": text,
         "bytes": len(text.encode()), "sha256": "", "error_share": 0.0}
        for number, text in enumerate(texts)
    ]  # fmt: skip
    for shard in range(shards):
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records[shard::shards]]
        (folder / f"shard-{shard:05d}.jsonl").write_bytes("".join(lines).encode())
    (folder / "report.json").write_text(json.dumps({"shards": shards}))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    texts = [path.read_bytes().decode() for path in stdlib_files()[:60]]
    write_corpus(root / "corpus", [*texts, "s = '<s>\u2581<AIX-SPAN-PRE>'  # \u2581\r\n"])
    return root


def config(root: Path, name: str = "tokenizer", **options: int) -> Config:
    options = {"vocab_size": 700, "max_training_bytes": 400_000} | options
    return Config(paths=PathsConfig(root=root, tokenizer=Path(name)), tokenizer=TokenizerConfig(**options))


def test_trains_exports_checks_and_reports(root: Path, capsys: pytest.CaptureFixture[str]):
    report = train(config(root))
    folder = root / "tokenizer"
    assert {path.name for path in folder.iterdir()} == FILES
    assert json.loads((folder / module.REPORT_FILE).read_text()) == report
    assert report["vocab_size"] == CodeTokenizer.from_folder(folder).vocab_size == 700
    assert report["sha256"] == sha256_file(folder / "tokenizer.model")
    assert 200_000 < report["training_bytes"] <= 400_000
    assert report["held_out"] and 0 < report["files_checked"] == 61 - report["training_files"]
    assert 1.5 < report["bytes_per_token"] < 5
    assert report["by_language"]["python"]["bytes"] == report["bytes_checked"]
    output = capsys.readouterr()
    assert "700 pieces" in output.out and "bytes per token" in output.out
    assert "\x1b" not in output.err  # not a terminal: plain lines


def test_the_same_corpus_gives_the_same_files(tmp_path: Path):
    texts = [path.read_bytes().decode() for path in stdlib_files()[:60]]
    for name in ("a", "b"):
        write_corpus(tmp_path / name / "corpus", texts)
        train(config(tmp_path / name))
    for name in FILES - {module.REPORT_FILE}:  # the report holds seconds
        assert (tmp_path / "a/tokenizer" / name).read_bytes() == (tmp_path / "b/tokenizer" / name).read_bytes()


def test_another_seed_samples_other_files(root: Path):
    first = train(config(root, "first"))
    other = train(config(root, "other", seed=99))
    assert first["sha256"] != other["sha256"]


def test_a_small_corpus_is_checked_on_itself(root: Path):
    report = train(config(root, "whole", max_training_bytes=0))
    assert not report["held_out"]
    assert report["training_files"] == 61


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 500_000}, "vocab_size=500000 is more than"),
        ({"vocab_size": 100}, "vocab_size=100 does not hold"),
        ({"max_training_bytes": 5}, "max_training_bytes=5 is less than"),
    ],
)
def test_a_failure_keeps_the_old_tokenizer(root: Path, options: dict, message: str):
    if not (root / "tokenizer").exists():
        train(config(root))
    before = {path.name: path.read_bytes() for path in (root / "tokenizer").iterdir()}
    siblings = sorted(root.iterdir())
    with pytest.raises(UserError, match=message):
        train(config(root, **options))
    assert {path.name: path.read_bytes() for path in (root / "tokenizer").iterdir()} == before
    assert sorted(root.iterdir()) == siblings


def test_an_empty_corpus_is_refused(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [])
    with pytest.raises(UserError, match="corpus"):
        train(config(tmp_path))
    assert not (tmp_path / "tokenizer").exists()


def test_a_missing_corpus_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="corpus"):
        train(config(tmp_path))
    assert sorted(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused_before_work(root: Path, tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"holds thesis\.tex, and training a tokenizer replaces the whole folder"):
        train(Config(paths=PathsConfig(root=root, tokenizer=tmp_path)))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["occupied", "occupied/below"])
def test_a_file_in_the_way_is_a_user_error(root: Path, tmp_path: Path, name: str):
    (tmp_path / "occupied").write_text("a file")
    with pytest.raises(UserError, match="occupied"):
        train(Config(paths=PathsConfig(root=root, tokenizer=tmp_path / name)))
    assert (tmp_path / "occupied").read_text() == "a file"


def test_a_failed_check_is_an_error_that_names_the_file(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("aixmeg.tokenizer.export.merges", lambda tokenizer: [])
    with pytest.raises(UserError, match=r"^(repo\d/|built-in text).*differ from token"):
        train(config(root, "unchecked"))
    assert not (root / "unchecked").exists()


def test_a_lossy_encoder_fails_the_check(tiny_tokenizer: Path, monkeypatch: pytest.MonkeyPatch):
    honest = CodeTokenizer.encode
    monkeypatch.setattr(CodeTokenizer, "encode", lambda self, text: honest(self, text.replace("\f", "\n")))
    with pytest.raises(UserError, match=r"does not give r/feed\.c back"):
        check_folder(tiny_tokenizer, [("r/ok.c", "c", "int x;"), ("r/feed.c", "c", "int x;\f")])


def test_importing_the_command_loads_no_torch():
    code = "import sys, aixmeg.tokenizer.command; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
