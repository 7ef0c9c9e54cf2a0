"""Inputs: what one shard of the scan reads."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aixmeg.config.corpus import CorpusConfig
from aixmeg.corpus.sources.folders import Repository, repositories
from aixmeg.corpus.sources.git import GitPart, git_parts
from aixmeg.corpus.sources.jsonl import JsonlPart, jsonl_parts
from aixmeg.corpus.sources.limits import RANGE_BYTES, RANGE_FILES
from aixmeg.corpus.sources.parquet import ParquetPart, parquet_parts
from aixmeg.corpus.sources.part import Part
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading
from aixmeg.corpus.sources.rules import Rules
from aixmeg.corpus.sources.tar import TarPart, tar_parts
from aixmeg.corpus.sources.walk import FolderPart, folder_parts
from aixmeg.corpus.sources.zip import ZipPart, zip_parts

_KINDS: Final[dict[str, Any]] = {
    one.kind: one for one in (FolderPart, GitPart, JsonlPart, ParquetPart, TarPart, ZipPart)
}
_PARTS: Final = {
    "folder": folder_parts, "git": git_parts, "jsonl": jsonl_parts, "parquet": parquet_parts, "tar": tar_parts,
    "zip": zip_parts,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Input:
    """One deterministic range of the sources, about 16 MB (a compressed file is one input, however long it is).

    Picklable; JSON by `to_json` and `from_json`.
    """

    name: str
    bytes: int
    """Estimate of its source bytes, for progress and balance."""
    parts: tuple[Part, ...]

    def documents(
        self, rules: Rules, *, wanted: Container[int] | None = None, skipped: Counter[str] | None = None
    ) -> Iterator[RawDocument]:
        """Its documents, the dropped ones too: under equal rules the same ones in the same order, every time.

        Args:
            rules: what is read.
            wanted: indices of the documents to read again; the others are passed over, and not read where that can be
                avoided. None means all.
            skipped: counts folders that are not entered, by reason (`SKIPPED_FOLDERS`).

        Raises:
            UserError: the source is gone, or more rows are broken than `corpus.reading.max_broken_share` allows.
        """
        reading = Reading(rules, wanted=wanted)
        for part in self.parts:
            yield from part.documents(reading)
        if skipped is not None:
            skipped.update(reading.skipped)

    def signals(self) -> dict[str, dict[str, float]]:
        """Signals of the repositories that begin in this range, such as {"owner/name": {"commits": 120.0}}."""
        return {name: one for part in self.parts for name, one in part.signals().items()}

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`.

        They change when the source does (sizes, times, commits): so they tell whether an earlier build was of the same.
        """
        parts = [{"kind": part.kind} | dataclasses.asdict(part) for part in self.parts]  # pyright: ignore
        return {"name": self.name, "bytes": self.bytes, "parts": parts}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Input:
        """The input that `to_json` described."""
        return cls(name=tree["name"], bytes=tree["bytes"], parts=tuple(_part(one) for one in tree["parts"]))


def _part(tree: dict[str, Any]) -> Part:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in tree.items()}
    return _KINDS[values.pop("kind")](**values)


def iter_inputs(config: CorpusConfig, output: Path) -> Iterator[Input]:
    """The inputs of a configuration, in order, one at a time: memory does not grow with the number of files.

    `output` is the folder that the corpus is written to; it is never entered.

    Raises:
        UserError: a source is missing, unreadable, or of no known kind.
    """
    rules = Rules.of(config, output)
    return _grouped(part for one in repositories(config.sources) for part in _parts(one, rules))


def open_inputs(config: CorpusConfig, output: Path) -> list[Input]:
    """`iter_inputs` as a list."""
    return list(iter_inputs(config, output))


def _parts(repository: Repository, rules: Rules) -> Iterator[Part]:
    yield from _PARTS[repository.kind](repository, rules)


def _grouped(parts: Iterable[Part]) -> Iterator[Input]:
    """Small neighbours together, so that ten thousand small repositories are not ten thousand inputs."""
    group: list[Part] = []
    size = files = 0
    for part in parts:
        if group and (size + part.bytes > RANGE_BYTES or files + part.files > RANGE_FILES):
            yield _input(group)
            group, size, files = [], 0, 0
        group.append(part)
        size += part.bytes
        files += part.files
    if group:
        yield _input(group)


def _input(parts: list[Part]) -> Input:
    more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
    return Input(name=parts[0].name + more, bytes=sum(part.bytes for part in parts), parts=tuple(parts))
