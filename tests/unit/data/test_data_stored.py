"""Examples from the syntax trees that the corpus keeps: the same bytes as from parsing, and without it."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from aixmeg.config.sfim import SfimConfig
from aixmeg.corpus.source_file import INDEX
from aixmeg.data import parts as parts_module
from aixmeg.data.builder import build_data
from aixmeg.languages import LANGUAGES
from aixmeg.sfim import choose
from aixmeg.syntax import parse
from aixmeg.syntax.store import pack


def add_trees(corpus: Path) -> int:
    """Write .spans and .index.npy beside every shard, as the corpus build does; every fifth file gets no tree."""
    stored = 0
    for shard in sorted(corpus.glob("*.jsonl")):
        rows, blobs, position = [], b"", 0
        for number, line in enumerate(shard.open("rb")):
            record = json.loads(line)
            blob = pack(parse(LANGUAGES[record["language"]], record["text"].encode())) if number % 5 else b""
            rows.append((position, len(blobs), len(blob)))
            blobs += blob
            position += len(line)
            stored += bool(blob)
        shard.with_suffix(".spans").write_bytes(blobs)
        np.save(shard.with_suffix(".index.npy"), np.array(rows, INDEX))
    return stored


@pytest.fixture
def repositories() -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*/*.py"))[:150]:
        if 0 < path.stat().st_size < 9000:
            found.setdefault(path.parent.name, {})[path.name] = path.read_bytes()
    return found


def products(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("context_share", [0.0, 1.0])
def test_stored_trees_give_the_same_examples_without_parsing(
    make_config, repositories, monkeypatch, tmp_path, context_share
):
    monkeypatch.setattr(parts_module, "PART_BYTES", 40_000)  # parts begin inside a shard
    config = make_config(repositories, ntp_share=0.0, sfim=SfimConfig(context_share=context_share))
    parsed: list[bytes] = []

    def counted(language, source):
        parsed.append(source)
        return parse(language, source)

    monkeypatch.setattr(choose, "parse", counted)
    build_data(config)
    fresh, files = products(tmp_path / "data"), len(parsed)
    stored = add_trees(tmp_path / "corpus")
    parsed.clear()
    build_data(config)
    assert products(tmp_path / "data") == fresh
    assert 0 < len(parsed) < files
    if not context_share:
        assert len(parsed) == files - stored


def test_stale_and_damaged_trees_are_parsed_again(make_config, repositories, tmp_path):
    config = make_config(repositories, ntp_share=0.0)
    build_data(config)
    fresh = products(tmp_path / "data")
    add_trees(tmp_path / "corpus")
    for spans in (tmp_path / "corpus").glob("*.spans"):
        data = bytearray(spans.read_bytes())
        data[::97] = bytes(len(data[::97]))
        spans.write_bytes(data[: len(data) // 2])
    build_data(config)
    assert products(tmp_path / "data") == fresh
