"""Speed of syntax trees: parse, walk, store, read back, and the search for commented-out code, by language.

    python tools/benchmark/syntax_trees.py [--corpus DIR] [--megabytes 1] [--rounds 3] [--json FILE]

Megabytes of source per second of CPU time on one core. All sides take turns on each file and the best of the rounds
counts; the Python walk takes its turn once. Without a corpus, Python's standard library is read.
"""

from __future__ import annotations

import argparse
import json
import random
import sysconfig
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from hardware import describe
from rich.console import Console

from aixmeg.config.corpus.commented import CommentedConfig
from aixmeg.corpus.comment_blocks import MARKS, find_blocks
from aixmeg.corpus.comment_code import is_code
from aixmeg.files import write_json
from aixmeg.languages import Language, language_of
from aixmeg.syntax import ParseLimit, SyntaxTree, error_share, native, parse, python_walk
from aixmeg.syntax.store import pack, unpack

COMMENTED = CommentedConfig()


def sample(folder: Path, megabytes: float) -> Iterator[tuple[Language, bytes]]:
    """Random files, at most so many megabytes of a language."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    random.Random(0).shuffle(files)
    read: dict[str, int] = defaultdict(int)
    for path in files:
        language = language_of(path)
        if language is None or language.grammar is None or read[language.name] >= megabytes * 1e6:
            continue
        source = path.read_bytes()
        if 0 < len(source) <= 1_000_000:
            read[language.name] += len(source)
            yield language, source


def commented(tree: SyntaxTree) -> int:
    """Blocks of commented-out code."""
    if tree.language.grammar not in MARKS:
        return 0
    limits = {"max_error_share": COMMENTED.max_error_share, "min_code_share": COMMENTED.min_code_share}
    return sum(is_code(tree.language, block.lines, **limits) for block in find_blocks(tree, COMMENTED.min_lines))


def seconds(task: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.thread_time()
    task()
    return time.thread_time() - start


def main() -> None:
    """Measure and print; write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--megabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "syntax_trees.json")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for language, source in sample(arguments.corpus, arguments.megabytes):
        try:
            tree = parse(language, source)
        except ParseLimit:
            continue
        blob = pack(tree)
        tasks: dict[str, Callable[[], object]] = {
            "parse": lambda language=language, source=source: error_share(language, source),
            "parse_walk": lambda language=language, source=source: parse(language, source),
            "store": lambda tree=tree: pack(tree),
            "read_back": lambda blob=blob, language=language, source=source: unpack(blob, language, source),
            "commented": lambda tree=tree: commented(tree),
        }
        row = spent[language.name]
        best = {name: float("inf") for name in tasks}
        for _ in range(arguments.rounds):
            best = {name: min(best[name], seconds(task)) for name, task in tasks.items()}
        for name, took in best.items():
            row[name] += took
        row["python_parse_walk"] += seconds(
            lambda language=language, source=source: python_walk.parse_columns(language, source)
        )
        row["bytes"] += len(source)
        row["stored_bytes"] += len(blob)
        row["nodes"] += len(tree.start)
        row["files"] += 1
    total: dict[str, float] = defaultdict(float)
    for row in spent.values():
        for name, amount in row.items():
            total[name] += amount
    rows = {name: figures(row) for name, row in sorted(spent.items())} | {"all": figures(total)}
    result = describe() | {"walk": "native" if native.is_built() else "python", "mb_per_cpu_s": rows}
    console.print_json(json.dumps(result))
    if arguments.json:
        write_json(arguments.json, result)


def figures(row: dict[str, float]) -> dict[str, float]:
    """Megabytes per second and shares of one language."""
    megabytes = row["bytes"] / 1e6
    times = ("parse", "parse_walk", "python_parse_walk", "store", "read_back", "commented")
    speeds = {name: round(megabytes / row[name], 1) for name in times}
    return speeds | {
        "parse_walk_store": round(megabytes / (row["parse_walk"] + row["store"]), 1),
        "walk_over_parse": round(row["parse_walk"] / row["parse"] - 1, 3),
        "commented_over_parse": round(row["commented"] / row["parse"], 3),
        "stored_bytes_per_byte": round(row["stored_bytes"] / row["bytes"], 3),
        "nodes_per_byte": round(row["nodes"] / row["bytes"], 3),
        "files": int(row["files"]),
        "megabytes": round(megabytes, 2),
    }


if __name__ == "__main__":
    main()
