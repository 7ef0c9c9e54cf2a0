"""Every known nuisance at once, all steps on, from the sources to the training data: each has its counted outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus_trees import check_nothing_lost
from nuisance_archives import make_archives
from nuisance_sources import Sources, benchmark, make_tree

from aixmeg.corpus import read_corpus
from aixmeg.data.encode import header_of
from aixmeg.data.indexed import TokenStream
from aixmeg.sfim.format import undo
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("nuisance")
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)  # Python's own removal fails at folders so deep


@pytest.fixture(scope="module")
def sources(root: Path) -> Sources:
    made = Sources(root / "sources")
    made.folder.mkdir()
    make_tree(made)
    make_archives(made)
    return made


@pytest.fixture(scope="module")
def report(root: Path, sources: Sources) -> dict[str, Any]:
    aixmeg("corpus", "build", root=root, options={
        "corpus.sources": sources.paths, "corpus.licence.unknown": "keep",
        "corpus.decontaminate.benchmarks": [benchmark(root)], "corpus.workers": 2,
    })  # fmt: skip
    return json.loads((root / "corpus/report.json").read_text())


def aixmeg(*command: str, root: Path, options: dict[str, Any]) -> None:
    """Run a command as an ordinary user, to whom a file can be unreadable, even where the tests are root's."""
    words = [f"--{name}={json.dumps(value, default=str)}" for name, value in options.items()]
    rights = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    subprocess.run([*rights, sys.executable, "-m", "aixmeg", *command, f"--paths.root={root}", *words], check=True)


def test_each_nuisance_has_its_outcome_in_files_and_bytes(sources: Sources, report: dict[str, Any]) -> None:
    check_nothing_lost(report)
    expected = sources.counts()
    kept = expected.pop(None)
    assert report["dropped"] == expected
    assert report["kept"] == {**kept, "text_bytes": kept["bytes"]}
    assert report["found"]["files"] == len(sources.documents)
    assert report["found"]["bytes"] == sum(one.size for one in sources.documents)
    assert report["found"]["skipped_folders"] == sources.skipped
    counted = {name: number for name, number in report["counts"].items() if name.startswith(("text.", "defects.ruff"))}
    assert counted == {
        "text.bom": 2, "text.crlf": 4, "text.lone_cr": 2, "text.mixed_endings": 1, "defects.ruff_crashed": 1,
    }  # fmt: skip


def test_what_is_kept_is_kept_byte_for_byte(root: Path, sources: Sources, report: dict[str, Any]) -> None:
    found = Counter((one.repository, one.path, one.text.encode()) for one in read_corpus(root / "corpus"))
    assert found == sources.kept()
    assert report["repositories"] == len({repository for repository, _, _ in found})


def test_the_tokenizer_and_the_training_data_give_every_file_back(root: Path, report: dict[str, Any]) -> None:
    aixmeg("tokenizer", "train", root=root, options={"tokenizer.vocab_size": 800, "model.vocab_size": 800})
    aixmeg("data", "build", root=root, options={
        "data.valid_share": 0.2, "data.ntp_share": 0.2, "data.fim_share": 0.2, "data.workers": 2,
        "model.vocab_size": 800, "tokenizer.vocab_size": 800,
    })  # fmt: skip
    files = Counter((one.repository, one.path, one.text.encode()) for one in read_corpus(root / "corpus"))
    assert Counter(examples(root)) == files
    assert len(files) == report["kept"]["files"]


def examples(root: Path) -> Iterator[tuple[str, str, bytes]]:
    """Repository, path and text of every example, undone."""
    tokenizer = CodeTokenizer.from_folder(root / "tokenizer")
    for split in ("train", "valid"):
        stream = TokenStream(root / "data" / split)
        rows = np.load(root / "data" / f"{split}.examples.npy", allow_pickle=False)
        lines = (root / "data" / f"{split}.files.jsonl").read_bytes().split(b"\n")[:-1]
        for row, line in zip(rows, lines, strict=True):
            about = json.loads(line)
            start = int(stream.starts[row["document"]] + row["offset"])
            ids = stream.read(start, start + int(row["length"])).tolist()
            middle = -1 if row["middle_offset"] < 0 else int(row["middle_offset"] - row["offset"])
            header = header_of(about["language"], about["path"])
            yield about["repository"], about["path"], undo(ids, tokenizer, header=header, middle_offset=middle).file
