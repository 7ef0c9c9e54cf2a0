"""Opening a training set of any size: seconds to open, to the first batch and to a far one, and memory, in a fresh
process for each.

    python tools/benchmark/dataset_open.py --documents 200000000 --tokens-per-document 6000 --work DIR

The index is really written (20 bytes per document); the token file is sparse, as large as the tokens would be. Memory
is what the kernel counts for the process: private (`Pss_Anon`) and mapped from files (`Pss_File`).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from hardware import describe

from aixmeg.data.indexed import IndexWriter, token_type
from aixmeg.data.stream import TrainDataset

RESULTS = Path(__file__).parent / "results" / "dataset_open.json"
_CHUNK = 1 << 20


def write_synthetic(prefix: Path, documents: int, mean: int) -> int:
    """Write an index of documents of mean/2 to 3/2 mean tokens and a sparse token file; returns the tokens."""
    dtype, total = token_type(49_152), 0
    with IndexWriter(prefix.with_name(prefix.name + ".idx"), dtype) as index:
        for first in range(0, documents, _CHUNK):
            raw = np.random.Philox(key=first).random_raw(min(_CHUNK, documents - first))
            lengths = (mean // 2 + raw % mean).astype(np.int64)
            index.add(lengths)
            total += int(lengths.sum())
    with prefix.with_name(prefix.name + ".bin").open("wb") as out:
        out.truncate(total * dtype.itemsize)
    return total


def memory() -> dict[str, float]:
    """MB of this process, private and mapped."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return {name: int(fields[key].split()[0]) / 1e3 for name, key in (("private", "Pss_Anon"), ("mapped", "Pss_File"))}


def measure(prefix: Path, seq_length: int, batch: int) -> dict[str, object]:
    """In a process of its own: open, read a batch, read one of a later epoch."""
    before = memory()
    start = time.perf_counter()
    data = TrainDataset(prefix, seq_length=seq_length, seed=1234, vocab_size=49_152)
    opened = time.perf_counter()
    for index in range(batch):
        data[index]
    first = time.perf_counter()
    far = 2 * data.samples_per_epoch + 12_345
    for index in range(far, far + batch):
        data[index]
    later = time.perf_counter()
    after = memory()
    return {
        "open_s": opened - start, "first_batch_s": first - opened, "batch_of_a_later_epoch_s": later - first,
        "samples_per_epoch": data.samples_per_epoch,
        "private_mb": after["private"] - before["private"], "mapped_mb": after["mapped"] - before["mapped"],
    }  # fmt: skip


def main() -> None:
    """Write, measure cold and warm, keep the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2_000_000)
    parser.add_argument("--tokens-per-document", type=int, default=6000)
    parser.add_argument("--seq-length", type=int, default=32_768)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--work", type=Path, required=True, help="folder for the synthetic files")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--measure", type=Path, default=None, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args.measure, args.seq_length, args.batch)))
        return
    args.work.mkdir(parents=True, exist_ok=True)
    prefix = args.work / "train"
    tokens = write_synthetic(prefix, args.documents, args.tokens_per_document)
    index = prefix.with_name("train.idx")
    subprocess.run(["sync", str(index)], check=True)
    with index.open("rb") as file:  # out of the page cache, as on a node that sees it for the first time
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, __file__, "--work", str(args.work), "--measure", str(prefix),
               "--seq-length", str(args.seq_length), "--batch", str(args.batch)]  # fmt: skip
    runs = {
        name: json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for name in ("cold", "warm")
    }
    result = {
        "hardware": describe(), "documents": args.documents, "tokens": tokens, "index_bytes": index.stat().st_size,
        "seq_length": args.seq_length, "batch": args.batch, **runs,
    }  # fmt: skip
    for suffix in (".idx", ".bin"):
        prefix.with_name("train" + suffix).unlink()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
