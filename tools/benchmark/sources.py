"""Reading every kind of source that holds the same files, on one core: MB of content per CPU-second.

    python tools/benchmark/sources.py [--corpus DIR] [--rounds 3] [--max-bytes N] [--out FOLDER]

--corpus   folder of repositories; without it the installed packages' source files

From the files under --corpus it makes the others in a temporary folder: JSON lines, Parquet, tar, zip, and a bare
git repository. Time is CPU time of the process and of git, opening (ranges, sizes) included. The best round counts.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from hardware import describe
from rich.console import Console
from rich.table import Table

from aixmeg.config.corpus import CorpusConfig
from aixmeg.corpus.sources import Rules, open_inputs
from aixmeg.files import write_json

NOWHERE = Path("/nonexistent/output")


def make(corpus: Path, work: Path, max_bytes: int) -> dict[str, Path]:
    """Sources of the same files, by kind."""
    config = CorpusConfig(sources=(corpus,))
    rows, size = [], 0
    for one in open_inputs(config, NOWHERE):
        for document in one.documents(Rules.of(config, NOWHERE)):
            if (
                document.content is not None
                and size + len(document.content) <= max_bytes
                and _is_text(document.content)
            ):
                rows.append((document.repository, document.path, document.content))
                size += len(document.content)
    for repository, path, content in rows:
        target = work / "folder" / repository.replace("/", "+") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    with (work / "rows.jsonl").open("w") as file:
        for repository, path, content in rows:
            record = {"max_stars_repo_name": repository, "max_stars_repo_path": path, "content": content.decode()}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    (work / "rows.jsonl.zst").write_bytes(zstandard.compress((work / "rows.jsonl").read_bytes(), 3))
    names = ("max_stars_repo_name", "max_stars_repo_path", "content")
    columns = [pa.array(list(column)) for column in zip(*rows, strict=True)]
    columns[2] = columns[2].cast(pa.large_string())
    pq.write_table(pa.table(dict(zip(names, columns, strict=True))), work / "rows.parquet", row_group_size=1000)
    with tarfile.open(work / "all.tar", "w") as archive:
        archive.add(work / "folder", arcname="all")
    (work / "all.tar.zst").write_bytes(zstandard.compress((work / "all.tar").read_bytes(), 3))
    with zipfile.ZipFile(work / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((work / "folder").rglob("*")):
            archive.write(file, file.relative_to(work / "folder"))
    _commit(work / "folder", work / "all.git")
    return {"folder": work / "folder"} | {
        name: work / name
        for name in ("rows.jsonl", "rows.jsonl.zst", "rows.parquet", "all.tar", "all.tar.zst", "all.zip", "all.git")
    }


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _commit(folder: Path, target: Path) -> None:
    who = {f"GIT_{role}_{part}": "benchmark" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    git = ["git", f"--git-dir={target}", "-c", "core.bare=false", f"--work-tree={folder}"]
    subprocess.run(["git", "init", "-q", "--bare", str(target)], check=True)
    for command in (["add", "-A", "-f", "."], ["commit", "-q", "-m", "all"], ["repack", "-a", "-d", "-q"]):
        subprocess.run([*git, *command], check=True, env=os.environ | who, stdout=subprocess.DEVNULL)


def cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage,
               (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))  # fmt: skip


def measure(source: Path, rounds: int) -> dict[str, Any]:
    """Read a source some times."""
    config = CorpusConfig(sources=(source,))
    rules, times, files, size = Rules.of(config, NOWHERE), [], 0, 0
    for _ in range(rounds):
        start, files, size = cpu_seconds(), 0, 0
        for one in open_inputs(config, NOWHERE):
            for document in one.documents(rules):
                if document.content is not None:
                    files, size = files + 1, size + len(document.content)
        times.append(cpu_seconds() - start)
    return {
        "files": files,
        "bytes": size,
        "cpu_seconds": round(min(times), 3),
        "worst_cpu_seconds": round(max(times), 3),
        "mb_per_cpu_second": round(size / min(times) / 1e6, 1),
    }


def main() -> None:
    """Measure, print, write results/sources.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path(sysconfig.get_path("purelib")))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-bytes", type=int, default=200_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        sources = make(arguments.corpus, Path(work), arguments.max_bytes)
        rows = {name: measure(path, arguments.rounds) for name, path in sources.items()}
    grid = Table(title="reading sources, one core")
    for heading in ("", "files", "MB", "MB per CPU-second"):
        grid.add_column(heading, justify="right" if heading else "left")
    for name, row in rows.items():
        grid.add_row(name, str(row["files"]), f"{row['bytes'] / 1e6:.0f}", f"{row['mb_per_cpu_second']:.0f}")
    Console(width=110).print(grid)
    write_json(arguments.out / "sources.json", {**describe(), "unit": "MB of content per CPU-second", "rows": rows})


if __name__ == "__main__":
    main()
