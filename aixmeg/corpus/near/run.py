"""De-duplication alone, from files to verdicts: for the benchmark, and for whoever needs no more than this."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near.decide import OUTCOMES, find_duplicates
from aixmeg.corpus.near.shards import Sketches

_SHARD_FILES = 20_000


@dataclass(frozen=True, kw_only=True)
class Result:
    """Of files in the order in which they were given."""

    outcome: np.ndarray
    """Index in `OUTCOMES`, 0 for kept: uint8 [n]."""
    because: np.ndarray
    """Number of the file that is kept instead, 4,294,967,295 for none: uint32 [n]."""
    repositories: dict[str, tuple[str, float]]
    """Dropped repository → the kept one, and the share of bytes in which they match."""
    summary: dict[str, Any]
    """As in `Duplicates`."""

    def reasons(self) -> Iterator[str]:
        """The drop reason of each file, "" for kept."""
        return (OUTCOMES[outcome] for outcome in self.outcome)


def deduplicate(
    files: Iterable[tuple[str, str, bytes]], work: Path, config: NearConfig | None = None, ranking: Iterable[str] = ()
) -> Result:
    """Find equal and similar files and repositories.

    `files`: (repository, path in it, content), read once. `ranking`: repositories, the best first; those that it does
    not name follow in alphabetical order. `work` is a folder for temporary files.
    """
    config = config or NearConfig()
    shards: list[Path] = []
    names: set[str] = set()
    sketches = Sketches(config.permutations)

    def publish() -> None:
        shards.append(work / f"{len(shards):05d}")
        sketches.write(shards[-1])

    for repository, path, content in files:
        names.add(repository)
        sketches.add(repository, path, content, hashlib.sha256(content).digest())
        if len(sketches) == _SHARD_FILES:
            publish()
            sketches = Sketches(config.permutations)
    publish()
    ranked = list(dict.fromkeys(ranking))
    found = find_duplicates(shards, [*ranked, *sorted(names.difference(ranked))], config, work / "decide")
    verdicts = np.concatenate([np.load(path, allow_pickle=False) for path in found.verdicts])
    return Result(
        outcome=verdicts["outcome"],
        because=verdicts["because"],
        repositories=found.repositories,
        summary=found.summary,
    )
