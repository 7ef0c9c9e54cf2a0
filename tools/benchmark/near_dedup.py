"""Near de-duplication from files to verdicts, on one core, beside other packages on the same files in the same call.

    python tools/benchmark/near_dedup.py [--corpus DIR] [--rounds 3] [--peers PYTHON] [--exact] [--out FOLDER]

--corpus   folder of repositories, at --depth folders below it; without it the installed packages' source files
--peers    Python of an environment with any of datasketch, rensa, gaoya, datatrove; those that are missing are told
--exact    also compare the found pairs with all pairs of exact similarity, up to --exact-bytes of files

Time is CPU time of the process (user and system), reading the files, SHA-256 and writing the verdicts included; peers
insert and query, without verification. The best round counts, the worst stands beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import random
import resource
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hardware import describe
from rich.console import Console
from rich.table import Table as Grid

from aixmeg.config.corpus import NearConfig
from aixmeg.corpus.near import Sketches, choose_bands, deduplicate, grams
from aixmeg.corpus.near.pairs import Pairs
from aixmeg.corpus.near.shards import Shards
from aixmeg.corpus.near.table import Table
from aixmeg.files import write_json
from aixmeg.languages import language_of

FLOOR = 0.6
"""Exact pairs are looked for from this similarity on."""


def find_files(root: Path, depth: int) -> list[tuple[str, str, str]]:
    """(repository, path in it, path on disk), in order."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and language_of(path) and path.stat().st_size <= 1_000_000:
            parts = path.relative_to(root).parts
            found.append(("/".join(parts[:depth]), "/".join(parts[depth:]), str(path)))
    return found


def read(files: list[tuple[str, str, str]]) -> Iterator[tuple[str, str, bytes]]:
    """The files with their contents, unbuffered: each is read whole."""
    for repository, path, where in files:
        with open(where, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib's open costs as much as the hashing
            yield repository, path, file.read()


def ours(files: list[tuple[str, str, str]], size: int, rounds: int, config: NearConfig) -> dict[str, Any]:
    """The best of some rounds of `deduplicate`."""
    times, summary, repositories = [], {}, {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as work:
            start = time.process_time()
            result = deduplicate(read(files), Path(work), config)
            times.append(time.process_time() - start)
        summary, repositories = result.summary, result.repositories
    return {
        "cpu_seconds": round(min(times), 3),
        "worst_cpu_seconds": round(max(times), 3),
        "bytes": size,
        "files": len(files),
        "mb_per_cpu_second": round(size / min(times) / 1e6, 2),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "summary": summary,
        "repositories": repositories,
    }


def exact_pairs(sets: list[np.ndarray]) -> dict[tuple[int, int], float]:
    """All pairs of gram sets whose Jaccard similarity reaches FLOOR, by prefix filtering, which misses none.

    Ordered from the rarest gram on, two such sets share one among the first |x| - ceil(FLOOR |x|) + 1 of each.
    """
    sizes = np.array([len(one) for one in sets])
    owner = np.repeat(np.arange(len(sets)), sizes)
    _, which, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    order = np.lexsort((which, counts[which], owner))
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    prefix = (sizes - np.ceil(FLOOR * sizes - 1e-9) + 1).astype(int)
    taken = (place < prefix[owner]) & (counts[which[order]] > 1)
    gram, document = which[order][taken], owner[order][taken]
    by_gram = np.argsort(gram, kind="stable")
    ends = np.flatnonzero(np.diff(gram[by_gram])) + 1
    pairs: set[tuple[int, int]] = set()
    for here in np.split(document[by_gram], ends):
        pairs.update((a, b) for a, b in itertools.combinations(here.tolist(), 2) if min_ratio(sizes, a, b) >= FLOOR)
    similar = {}
    for a, b in pairs:
        shared = len(np.intersect1d(sets[a], sets[b], assume_unique=True))
        similarity = shared / (sizes[a] + sizes[b] - shared)
        if similarity >= FLOOR:
            similar[a, b] = float(similarity)
    return similar


def min_ratio(sizes: np.ndarray, a: int, b: int) -> float:
    """The highest similarity that two sizes allow."""
    return min(sizes[a], sizes[b]) / max(sizes[a], sizes[b])


def quality(files: list[tuple[str, str, str]], budget: int, config: NearConfig) -> dict[str, Any]:
    """Found pairs against exact ones: all different files, or so many bytes of them, drawn by repository."""
    names = sorted({repository for repository, _, _ in files})
    random.Random(0).shuffle(names)
    contents: dict[bytes, None] = {}
    size = 0
    for _, _, content in itertools.chain.from_iterable(read([f for f in files if f[0] == name]) for name in names):
        if size < budget and content not in contents:
            contents[content] = None
            size += len(content)
    similar = exact_pairs([grams(content) for content in contents])
    with tempfile.TemporaryDirectory() as work:
        sketches = Sketches(config.permutations)
        for number, content in enumerate(contents):
            sketches.add("r", str(number), content, hashlib.sha256(content).digest())
        sketches.write(Path(work, "0"))
        shards = Shards([Path(work, "0")], config.permutations)
        pairs = Pairs(shards, Table(shards, ["r"], Path(work, "table")), choose_bands(config), config, Path(work))
        everyone = np.arange(len(contents), dtype=np.uint32)
        found = {(min(a, b), max(a, b)) for rows in pairs.find(everyone) for a, b in rows.tolist()}
    wanted = {pair for pair, value in similar.items() if value >= config.threshold}
    margin = choose_bands(config).standard_error
    sure = {pair for pair in wanted if similar[pair] >= config.threshold + margin}
    return {
        "files": len(contents),
        "bytes": size,
        "exact_pairs": len(wanted),
        "found_pairs": len(found),
        "recall": round(len(found & wanted) / max(1, len(wanted)), 4),
        "precision": round(len(found & wanted) / max(1, len(found)), 4),
        "recall_one_error_above": round(len(found & sure) / max(1, len(sure)), 4),
        "precision_two_errors_below": round(
            sum(similar.get(pair, 0.0) >= config.threshold - 2 * margin for pair in found) / max(1, len(found)), 4
        ),
        "least_similar_found": round(min((similar.get(pair, 0.0) for pair in found), default=1.0), 4),
    }


def peers(python: str, files: list[tuple[str, str, str]], budget: int, config: NearConfig) -> dict[str, Any]:
    """What near_dedup_peers.py prints. Repositories in random order, so that a part is like the whole."""
    names = sorted({repository for repository, _, _ in files})
    random.Random(0).shuffle(names)
    rank = {name: number for number, name in enumerate(names)}
    bands = choose_bands(config)
    job = {
        "files": [where for _, _, where in sorted(files, key=lambda file: rank[file[0]])],
        "bytes": budget,
        "permutations": config.permutations,
        "bands": bands.bands,
        "rows": bands.rows,
        "threshold": config.threshold,
    }
    script = Path(__file__).with_name("near_dedup_peers.py")
    done = subprocess.run([python, str(script)], input=json.dumps(job), capture_output=True, text=True, check=True)
    results = json.loads(done.stdout.splitlines()[-1])
    most = max((row["files"] for row in results.values() if "files" in row), default=0)
    part = set(job["files"][:most])
    same = [file for file in files if file[2] in part]
    size = sum(Path(where).stat().st_size for _, _, where in same)
    return {"aixmeg, the peers' part": ours(same, size, 1, config), **results}


def show(rows: dict[str, dict[str, Any]]) -> None:
    """The table on standard output."""
    grid = Grid(title="near de-duplication, one core")
    for heading in ("", "MB per CPU-second", "MB", "files", "duplicates"):
        grid.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        if "not_run" in row:
            grid.add_row(name, row["not_run"][:60], "", "", "")
            continue
        found = row.get("duplicates")
        if found is None:
            found = sum(count for reason, count in row["summary"]["outcomes"].items() if reason != "kept")
        grid.add_row(
            name, f"{row['mb_per_cpu_second']:.1f}", f"{row['bytes'] / 1e6:.0f}", *map(str, (row["files"], found))
        )
    Console(width=110).print(grid)


def main() -> None:
    """Measure, print, write results/near_dedup.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--depth", type=int, default=1, help="folders of a path that name its repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default="", help="Python of an environment with the peers")
    parser.add_argument("--peer-bytes", type=int, default=12_000_000)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--exact-bytes", type=int, default=100_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    config = NearConfig()
    files = find_files(arguments.corpus, arguments.depth)
    size = sum(Path(where).stat().st_size for _, _, where in files)
    rows = {"aixmeg": ours(files, size, arguments.rounds, config)}
    if arguments.peers:
        rows |= peers(arguments.peers, files, arguments.peer_bytes, config)
    show(rows)
    result: dict[str, Any] = {**describe(), "unit": "MB of source per CPU-second, one core", "rows": rows}
    if arguments.exact:
        result["quality"] = quality(files, arguments.exact_bytes, config)
        Console(width=110).print_json(json.dumps(result["quality"]))
    write_json(arguments.out / "near_dedup.json", result)


if __name__ == "__main__":
    main()
