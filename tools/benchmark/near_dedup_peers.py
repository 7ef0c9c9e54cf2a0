"""Near de-duplication by other packages; run by near_dedup.py in an environment that has them, without aixmeg.

Reads JSON from standard input: {"files": [paths], "bytes": budget per peer, "permutations", "bands", "rows",
"threshold"}. Prints per peer the CPU seconds from the paths to the duplicates, the bytes that it read, and how many
files it found duplicates of; or why it did not run.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import logging
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WORDS = re.compile(r"\w+")


def texts(job: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The files, read as a user of the package reads them."""
    for path in job["files"]:
        yield path, Path(path).read_bytes().decode("utf-8", "replace")


def shingles(text: str) -> list[str]:
    """Word 5-grams."""
    words = WORDS.findall(text)
    return [" ".join(words[i : i + 5]) for i in range(len(words) - 4)]


def datasketch(job: dict[str, Any]) -> int:
    """MinHash.update_batch and MinHashLSH."""
    from datasketch import MinHash, MinHashLSH  # pyright: ignore[reportMissingImports]

    index = MinHashLSH(params=(job["bands"], job["rows"]), num_perm=job["permutations"])
    found = 0
    for name, text in texts(job):
        sketch = MinHash(num_perm=job["permutations"])
        if grams := shingles(text):
            sketch.update_batch([gram.encode() for gram in grams])
            found += bool(index.query(sketch))
            index.insert(name, sketch)
    return found


def rensa(job: dict[str, Any]) -> int:
    """RMinHash and RMinHashLSH."""
    from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportMissingImports]

    bands = next(n for n in range(job["bands"], 0, -1) if job["permutations"] % n == 0)
    index = RMinHashLSH(threshold=job["threshold"], num_perm=job["permutations"], num_bands=bands)
    found = 0
    for number, (_, text) in enumerate(texts(job)):
        if grams := shingles(text):
            sketch = RMinHash(num_perm=job["permutations"], seed=1)
            sketch.update(grams)
            found += bool(index.query(sketch))
            index.insert(number, sketch)
    return found


def gaoya(job: dict[str, Any]) -> int:
    """MinHashStringIndex: shingling, hashing and the index in Rust."""
    from gaoya.minhash import MinHashStringIndex  # pyright: ignore[reportMissingImports]

    index = MinHashStringIndex(
        hash_size=32, jaccard_threshold=job["threshold"], num_bands=job["bands"], band_size=job["rows"],
        num_hashes=job["bands"] * job["rows"], analyzer="word", ngram_range=(5, 5),
    )  # fmt: skip
    found = 0
    for number, (_, text) in enumerate(texts(job)):
        found += bool(index.query(text))
        index.insert_document(number, text)
    return found


def datatrove(job: dict[str, Any]) -> int:
    """Its four stages, one task each, from JSON lines that were written beforehand."""
    from datatrove.data import Document  # pyright: ignore[reportMissingImports]
    from datatrove.pipeline.dedup import minhash as stages  # pyright: ignore[reportMissingImports]

    logging.disable(logging.CRITICAL)
    config = stages.MinhashConfig(n_grams=5, num_buckets=job["bands"], hashes_per_bucket=job["rows"])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        documents = [Document(text=text, id=name) for name, text in texts(job)]
        stages.MinhashDedupSignature(output_folder=f"{folder}/s", config=config).run(iter(documents), 0, 1)
        for bucket in range(config.num_buckets):
            stages.MinhashDedupBuckets(input_folder=f"{folder}/s", output_folder=f"{folder}/b", config=config).run(
                None, bucket, config.num_buckets
            )
        stages.MinhashDedupCluster(input_folder=f"{folder}/b", output_folder=f"{folder}/r", config=config).run(
            None, 0, 1
        )
        kept = list(stages.MinhashDedupFilter(input_folder=f"{folder}/r").run(iter(documents), 0, 1))
        return len(documents) - len(kept)


PEERS: dict[str, Callable[[dict[str, Any]], int]] = {
    "gaoya": gaoya,
    "rensa": rensa,
    "datasketch": datasketch,
    "datatrove": datatrove,
}
SLOW = {"datatrove": 4, "datasketch": 2}
"""These read a part of the budget only."""


def within(files: list[str], budget: int) -> tuple[list[str], int]:
    """The first files of so many bytes, and their bytes."""
    taken, size = [], 0
    for path in files:
        if size >= budget:
            break
        taken.append(path)
        size += Path(path).stat().st_size
    return taken, size


def main() -> None:
    """Run each peer that can be imported."""
    job = json.load(sys.stdin)
    results = {}
    for name, peer in PEERS.items():
        files, size = within(job["files"], job["bytes"] // SLOW.get(name, 1))
        try:
            version = importlib.metadata.version(name)
            start = time.process_time()
            found = peer({**job, "files": files})
            seconds = time.process_time() - start
        except Exception as error:
            results[name] = {"not_run": f"{type(error).__name__}: {error}"}
            continue
        results[name] = {
            "version": version,
            "cpu_seconds": round(seconds, 3),
            "bytes": size,
            "files": len(files),
            "duplicates": found,
            "mb_per_cpu_second": round(size / seconds / 1e6, 2),
        }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
