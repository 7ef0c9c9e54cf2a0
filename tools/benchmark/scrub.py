"""Speed and quality of scrubbing beside its peers.

    python tools/benchmark/scrub.py [--corpus DIR] [--megabytes 40] [--out tools/benchmark/results]

Speed: megabytes of source per CPU-second over the same files. Quality: precision and recall on the labelled lines of
tests/unit/corpus/scrub_labels. Peers: plain expressions as corpora of code have used them for e-mails, IP addresses and
keys, run by `re` and, where it can be imported, by google-re2; and detect-secrets where it can be imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from hardware import describe
from rich.console import Console
from rich.table import Table

from aixmeg.config.corpus import ScrubConfig
from aixmeg.corpus.scrub import Scrubber, engine
from aixmeg.corpus.scrub.engine import EngineName
from aixmeg.files import write_json
from aixmeg.languages import language_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "corpus"))
from scrub_labels.load import Score, scores  # noqa: E402  # pyright: ignore[reportMissingImports]

ENGINES: tuple[EngineName, ...] = ("hyperscan", "re2", "re")
Span = tuple[str, int, int]
Find = Callable[[bytes, str], Iterable[Span]]

PLAIN = {
    "email": rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
    "ip": rb"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b|\b(?:[0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}\b",
    "token": rb"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|xox[a-z]-[\w-]{10,}|eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+)",
    "password": rb"(?i)(?:password|passwd|pwd|secret|token|api_?key)[\"']?\s*[:=]\s*[\"']([^\"'\s]{6,})[\"']",
    "private_key": rb"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----[^-]{40,}",
    "name": rb"@author\s+([^\n<(]+)|(?i:author:)\s+([^\n<(]+)|TODO\(([^)\n]+)\)",
}
"""What one writes first for each kind."""
SECRETS = dict.fromkeys(("token", "password", "url_credentials"), "secret")
"""Kinds that detect-secrets does not tell apart."""


def read_files(corpus: Path, limit: int) -> list[tuple[bytes, str]]:
    """UTF-8 files of known languages up to `limit` bytes in all, spread evenly over the folder."""
    paths = sorted(path for path in corpus.rglob("*") if path.is_file() and not path.is_symlink())
    known = [(path, language) for path in paths if (language := language_of(path.name)) is not None]
    step = max(1, sum(path.stat().st_size for path, _ in known) // limit)
    files = []
    for path, language in known[::step]:
        content = path.read_bytes()
        if content.decode(errors="ignore").encode() == content and len(content) < 1_000_000:
            files.append((content, language.name))
    return files


def plain(module: Any) -> Find:
    """The plain expressions, run by `re` or re2."""
    compiled = {kind: module.compile(pattern) for kind, pattern in PLAIN.items()}

    def find(text: bytes, _language: str) -> Iterator[Span]:
        for kind, pattern in compiled.items():
            for match in pattern.finditer(text):
                yield kind, *match.span(match.lastindex or 0)

    return find


def detect_secrets() -> Find | None:
    """detect-secrets with its default plugins, line by line; None where it is not installed."""
    try:
        from detect_secrets.core.scan import scan_line  # pyright: ignore[reportMissingImports]
        from detect_secrets.settings import default_settings  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None

    def find(text: bytes, _language: str) -> Iterator[Span]:
        start = 0
        with default_settings():
            for line in text.split(b"\n"):
                for secret in scan_line(line.decode(errors="replace")):
                    if secret.type == "Private Key":  # reported by its first line
                        yield "private_key", start, len(text)
                        continue
                    value = (secret.secret_value or "").encode()
                    first = max(0, line.find(value)) + start
                    kind = "ip" if secret.type.startswith("Public IP") else "secret"
                    yield kind, first, first + max(1, len(value))
                start += len(line) + 1

    return find


def peers() -> dict[str, Find]:
    """Name → finder, of what can be imported here."""
    result = {"plain expressions, re": plain(re)}
    try:
        import re2  # pyright: ignore[reportMissingImports]

        result["plain expressions, re2"] = plain(re2)
    except ImportError:
        pass
    if found := detect_secrets():
        result["detect-secrets"] = found
    return result


def megabytes_per_second(files: list[tuple[bytes, str]], work: Callable[[bytes, str], Any], budget: float) -> float:
    """Of CPU time; files are taken in turn until `budget` seconds are used."""
    done, start = 0, time.process_time()
    for text, language in files:
        work(text, language)
        done += len(text)
        if time.process_time() - start > budget:
            break
    return done / 1e6 / (time.process_time() - start)


def quality(find: Find) -> dict[str, dict[str, float]]:
    """Kind → precision, recall, labelled spans, found spans."""

    def row(score: Score) -> dict[str, float]:
        values = {"precision": score.precision, "recall": score.recall}
        return {name: round(value, 3) for name, value in values.items()} | {
            "labelled": score.labelled,
            "found": score.found,
        }

    result = scores(find, ScrubConfig().kinds) | scores(find, ("secret",), merge=SECRETS)
    return {kind: row(score) for kind, score in result.items()}


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--corpus", type=Path, default=Path(sysconfig.get_path("stdlib")), help="folder of source files"
    )
    parser.add_argument("--megabytes", type=int, default=40, help="how much of it")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    files = read_files(arguments.corpus, arguments.megabytes * 1_000_000)
    importable: list[EngineName] = [name for name in ENGINES if name == "re" or importlib.util.find_spec(name)]
    ours = {name: Scrubber(ScrubConfig(), name) for name in importable}
    works: dict[str, Callable[[bytes, str], Any]] = {
        f"aixmeg, {name}": scrubber.scrub for name, scrubber in ours.items()
    }
    rivals = peers()
    for name, find in rivals.items():
        works[name] = lambda text, language, find=find: list(find(text, language))
    for work in works.values():
        work(b"warm = 1\n", "python")
    # Two turns each, so that a busy machine slows all alike; the better one counts.
    speeds = dict.fromkeys(works, 0.0)
    for _ in range(2):
        for name, work in works.items():
            speeds[name] = max(speeds[name], megabytes_per_second(files, work, budget=4.0))

    def ours_finds(text: bytes, language: str) -> Iterator[Span]:
        return ((one.kind, one.start, one.end) for one in ours[engine()].find(text, language))

    table = {"aixmeg": quality(ours_finds)} | {
        name: quality(rival) for name, rival in rivals.items() if "re2" not in name
    }
    show(speeds, table)
    arguments.out.mkdir(parents=True, exist_ok=True)
    total = sum(len(text) for text, _ in files)
    corpus = {"files": len(files), "megabytes": round(total / 1e6, 1)}
    speeds = {name: round(speed, 2) for name, speed in speeds.items()}
    write_json(
        arguments.out / "scrub.json",
        {
            "environment": describe() | {"engine": engine()},
            "corpus": corpus,
            "megabytes_per_cpu_second": speeds,
            "quality": table,
        },
    )


def show(speeds: dict[str, float], table: dict[str, dict[str, dict[str, float]]]) -> None:
    """Both results as tables."""
    console = Console()
    first = Table("", "MB per CPU-second", title="speed")
    for name, speed in speeds.items():
        first.add_row(name, f"{speed:.2f}")
    second = Table("kind", *table, title="precision / recall (spans labelled)")
    for kind in (*ScrubConfig().kinds, "secret"):
        rows = [rows[kind] for rows in table.values()]
        second.add_row(
            f"{kind} ({rows[0]['labelled']})",
            *(f"{row['precision']:.2f} / {row['recall']:.2f}" if row["found"] else "–" for row in rows),
        )
    console.print(first, second)


if __name__ == "__main__":
    main()
