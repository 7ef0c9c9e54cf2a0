"""Speed of the cheap corpus steps (licence, generated files, prose); how many licence texts are recognised.

    python tools/benchmark/corpus_filters.py [--corpus DIR] [--prose DIR] [--megabytes 40] [--out DIR]

The default corpus is Python's standard library and the installed packages, also for the prose. Speeds are per CPU
second of one core, the best of three rounds. Accuracy: of the installed packages that declare one SPDX id and bring
one licence file, how many files are recognised as (or among others as) what the package declares.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hardware import describe
from rich.console import Console
from rich.table import Table

from aixmeg.config.corpus import GeneratedConfig, ProseConfig
from aixmeg.corpus import generated, prose
from aixmeg.corpus.document import Document
from aixmeg.corpus.generated import statistics
from aixmeg.corpus.licence import file_evidence
from aixmeg.corpus.licence.evidence import text_licence
from aixmeg.corpus.licence.table import spdx_id
from aixmeg.corpus.reasons import Dropped
from aixmeg.files import write_json
from aixmeg.languages import language_of

ROUNDS = 3
CODE = {".py", ".js", ".mjs", ".ts", ".tsx", ".java", ".c", ".h", ".cc", ".cpp", ".hpp", ".go", ".rs"}
PROSE = {".md", ".rst", ".txt"}


def read(folders: list[Path], endings: set[str], megabytes: float) -> list[Document]:
    """Files of a folder as documents, the first ones in path order."""
    result, size = [], 0
    for folder in folders:
        for path in sorted(one for one in folder.rglob("*") if one.suffix in endings and one.is_file()):
            if "site-packages" in path.relative_to(folder).parts:  # below the standard library: the other folder
                continue
            content = path.read_bytes()
            if 64 <= len(content) <= 1_000_000 and size < megabytes * 1e6 and is_utf8(content):
                language = language_of(path)
                document = Document(repository="r", path=str(path.relative_to(folder)), content=content,
                                    language=language.name if language else "text")  # fmt: skip
                result.append(document)
                size += len(content)
    return result


def is_utf8(content: bytes) -> bool:
    """Whether the steps are given such files."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def measured(name: str, documents: list[Document], call: Callable[[Document], Any]) -> dict[str, Any]:
    """Best CPU time of some rounds over all documents."""
    size, best, dropped = sum(len(one.content) for one in documents), float("inf"), 0
    for _ in range(ROUNDS):
        dropped, start = 0, time.process_time()
        for document in documents:
            try:
                call(document)
            except Dropped:
                dropped += 1
        best = min(best, time.process_time() - start)
    rates = {"mb_per_s": round(size / 1e6 / best, 1), "files_per_s": round(len(documents) / best)}
    return {"step": name, "files": len(documents), "mb": round(size / 1e6, 1), **rates, "dropped": dropped}


def declared() -> Iterator[tuple[str, Document]]:
    """(declared id, licence file) of the installed packages."""
    for package in importlib.metadata.distributions():
        files = [one for one in package.files or () if re.fullmatch(r"(?i)(licen[cs]e|copying)(\.\w+)?", one.name)]
        name = package.metadata["License-Expression"] or ""
        if spdx_id(name) == name and len(files) == 1:
            content = Path(str(package.locate_file(files[0]))).read_bytes()
            yield name, Document(repository="r", path="LICENSE", language="text", content=content)


def main() -> None:
    """Measure, print, write."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--corpus", type=Path, help="folder of source code")
    arguments.add_argument("--prose", type=Path, help="folder of documents")
    arguments.add_argument("--megabytes", type=float, default=40.0)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    given = arguments.parse_args()
    machine = [Path(sysconfig.get_paths()[name]) for name in ("stdlib", "purelib")]
    code = read([given.corpus] if given.corpus else machine, CODE, given.megabytes)
    texts = read([given.prose] if given.prose else machine, PROSE, given.megabytes / 8)
    licences = list(declared())
    judge, clean = prose.make_step(ProseConfig(boilerplate=False)), prose.make_cleaner(ProseConfig())
    filters = generated.make_step(GeneratedConfig())
    rows = [
        measured("licence evidence", code, lambda one: file_evidence(one.path, one.content)),
        measured("licence texts", [one for _, one in licences], lambda one: text_licence(one.content)),
        measured("line statistics", code, lambda one: statistics(one.content)),
        measured("generated", code, filters),
        measured("prose judged", texts, judge),
        measured("prose cleaned", texts, clean),
    ]
    found = [(name, str(text_licence(one.content))) for name, one in licences]
    right = sum(name in text.split(" AND ") for name, text in found)
    table = Table("step", "files", "MB", "MB/s", "files/s", "dropped")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("step", "files", "mb", "mb_per_s", "files_per_s", "dropped")))
    console = Console()
    console.print(table)
    console.print(f"licence texts right: {right} of {len(found)}")
    write_json(
        given.out / "corpus_filters.json",
        {**describe(), "rounds": ROUNDS,
         "corpus": "given" if given.corpus else "this machine's", "rows": rows,
         "licence_texts": {"right": right, "total": len(found)}},
    )  # fmt: skip


if __name__ == "__main__":
    main()
