"""A corpus folder as `aixmeg corpus build` writes it, from a dictionary of repositories."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aixmeg.config import Config, DataConfig, PathsConfig
from aixmeg.corpus.source_file import SourceFile, shard_name
from aixmeg.languages import language_of
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

Repositories = Mapping[str, Mapping[str, bytes]]


def write_corpus(folder: Path, repositories: Repositories, shards: int = 2) -> None:
    """One record per file, repositories in sorted order, cut into shards without regard to repositories."""
    lines = []
    for repository, files in sorted(repositories.items()):
        for path, data in sorted(files.items()):
            language = language_of(path)
            assert language is not None, path
            source = SourceFile(
                repository=repository,
                path=path,
                language=language.name,
                text=data.decode(),
                bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
                error_share=0.0,
            )
            lines.append(source.to_line())
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number in range(shards):
        part = lines[number * len(lines) // shards : (number + 1) * len(lines) // shards]
        (folder / shard_name(number)).write_bytes(b"".join(part))
    (folder / "report.json").write_text(json.dumps({"shards": shards}))


@pytest.fixture
def make_config(tmp_path: Path, tiny_tokenizer: Path) -> Callable[..., Config]:
    """A configuration over a new root with the given corpus; keyword arguments are fields of DataConfig."""

    def make(repositories: Repositories | None = None, *, shards: int = 2, **fields: object) -> Config:
        if repositories is not None:
            write_corpus(tmp_path / "corpus", repositories, shards)
        paths = PathsConfig(root=tmp_path, tokenizer=tiny_tokenizer)
        return Config(paths=paths, data=DataConfig(**({"workers": 1} | fields)))

    return make


@pytest.fixture(scope="session")
def tok(tiny_tokenizer: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny_tokenizer)
