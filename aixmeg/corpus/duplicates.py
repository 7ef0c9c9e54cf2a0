"""Of equal and similar files and repositories, one is kept."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from aixmeg.corpus.decisions import CODE, Files, Ranked
from aixmeg.corpus.job import Job
from aixmeg.corpus.scan import NearPieces

_REPOSITORIES_SHOWN: Final = 200
_NOBODY: Final = 0
"""In the place of a repository's hash."""
_COPY: Final = np.dtype([("digest", "<u8", 2), ("worse", "<u4"), ("file", "<u8")])


def drop_similar(job: Job, files: Files, repositories: Ranked) -> dict[str, Any]:
    """Drop equal and similar files, and repositories that are alike.

    Returns:
        What the report says of them.
    """
    from aixmeg.corpus.near import OUTCOMES, VERDICT, find_duplicates

    work = job.folder / "decide" / "near"
    pieces = [_taking_part(files, first, piece, work / f"{number:05d}")
              for number, (first, piece) in enumerate(_pieces(job, files))]  # fmt: skip
    found = find_duplicates(pieces, repositories.best_first(), job.config().near, work / "sorting")
    codes = np.array([CODE.get(outcome, 0) for outcome in OUTCOMES], np.uint8)
    first = 0
    for path in found.verdicts:
        verdicts = np.load(path, allow_pickle=False).astype(VERDICT, copy=False)
        decisions = files.decisions[first : first + len(verdicts)]
        np.copyto(decisions, codes[verdicts["outcome"]], where=decisions == 0)
        first += len(verdicts)
    pairs = sorted(found.repositories.items())
    shown = [{"dropped": one, "kept": kept, "share": share} for one, (kept, share) in pairs[:_REPOSITORIES_SHOWN]]
    return {"repositories": len(pairs), "repository_pairs": shown} | found.summary


def _pieces(job: Job, files: Files) -> Iterator[tuple[int, Path]]:
    """The signatures that the scan wrote, in pieces, with the number of each piece's first file."""
    for shard, (first, behind) in enumerate(itertools.pairwise(files.bounds.tolist())):
        for piece in range(-(-(behind - first) // NearPieces.FILES)):
            yield first + piece * NearPieces.FILES, NearPieces.path(job, shard, piece)


def _taking_part(files: Files, first: int, piece: Path, to: Path) -> Path:
    """A piece in which the files that are dropped already belong to no repository, so that they speak against none."""
    from aixmeg.corpus.near.shards import documents_file, signatures_file

    documents = np.load(documents_file(piece), allow_pickle=False)
    documents["repository"][files.decisions[first : first + len(documents)] != 0] = _NOBODY
    to.parent.mkdir(parents=True, exist_ok=True)
    with documents_file(to).open("wb") as file:
        np.save(file, documents, allow_pickle=False)
    signatures_file(to).unlink(missing_ok=True)
    signatures_file(to).symlink_to(signatures_file(piece).resolve())
    return to


def drop_exact(files: Files, repositories: Ranked) -> dict[str, Any]:
    """Of the files with one text, keep that of the best ranked repository; of several there, the first.

    Returns:
        Number of texts that were there more than once, and the largest number of copies.
    """
    parts = files.partitions("exact", _COPY)
    for first, rows, decisions in files.shards():
        kept = np.flatnonzero(decisions == 0)
        copies = np.empty(len(kept), _COPY)
        copies["digest"] = rows["digest"][kept]
        copies["worse"] = repositories.worse_of(rows["repository"][kept])
        copies["file"] = first + kept
        parts.add(copies, copies["digest"][:, 0])
    texts = most = 0
    for copies in parts.read():
        order = np.lexsort((copies["file"], copies["worse"], copies["digest"][:, 1], copies["digest"][:, 0]))
        digest = copies["digest"][order]
        again = np.concatenate([[False], (digest[1:] == digest[:-1]).all(axis=1)])[: len(order)]
        files.decisions[copies["file"][order[again]]] = CODE["exact_duplicate"]
        sizes = np.diff(np.flatnonzero(np.concatenate([~again, [True]])))
        texts += int((sizes > 1).sum())
        most = max(most, int(sizes.max(initial=0)))
    parts.remove()
    return {"texts": texts, "most_copies": most}
