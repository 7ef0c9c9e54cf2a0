"""`aixmeg eval make`: held-out repositories → tasks.jsonl, which `aixmeg eval fim-eval` reads, and report.json."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from aixmeg import __version__
from aixmeg.config import Config, CorpusConfig
from aixmeg.errors import UserError
from aixmeg.eval.benchmarks.fim_eval import LANGUAGES_OF_FIM_EVAL
from aixmeg.eval.make.candidates import SHAPES, Candidate, Limits, candidates, held_out_files
from aixmeg.eval.make.choose import Quotas, choose
from aixmeg.eval.make.contamination import Found, find_contaminated
from aixmeg.files import atomic_write, replace_folder, write_error, write_json
from aixmeg.tokenizer import CodeTokenizer

_LISTED: Final = 1000
"""Contaminated candidates in the report; all are counted."""


def make(
    *,
    config: Config,
    repositories: Sequence[Path],
    against: Sequence[Path],
    out: Path,
    seed: int = 0,
    per_shape: int = 50,
    quota: Sequence[str] = (),
    max_file_bytes: int = 50_000,
    max_middle_bytes: int = 1000,
    tokenizer: Path | None = None,
    max_file_tokens: int | None = None,
    max_middle_tokens: int | None = None,
) -> dict[str, Any]:
    """Make a set of gaps; the same input and options give the same bytes.

    Args:
        config: `corpus.languages`, `corpus.reading`, `corpus.generated`, `corpus.max_error_share` and
            `corpus.decontaminate` hold as for `aixmeg corpus build`.
        repositories: what `corpus.sources` could name.
        against: corpora that `aixmeg corpus build` made of the training data; empty only where
            `corpus.decontaminate.enabled` is false.
        out: folder to make.
        seed: of the places of gaps, and of which are taken.
        per_shape: most tasks of each language and shape.
        quota: exceptions, as `NAME=N`.
        max_file_bytes: longest file.
        max_middle_bytes: longest gap.
        tokenizer: folder that counts tokens.
        max_file_tokens: longest file, in tokens.
        max_middle_tokens: longest gap, in tokens.

    Returns:
        The report.

    Raises:
        UserError: bad options, a source or corpus that is not there, or not one task.
    """
    quotas = Quotas.of(per_shape, quota)
    limits = _limits(max_file_bytes, max_middle_bytes, tokenizer, max_file_tokens, max_middle_tokens)
    corpus = dataclasses.replace(
        config.corpus, sources=tuple(repositories), max_file_bytes=max_file_bytes,
        languages=config.corpus.languages or LANGUAGES_OF_FIM_EVAL,
        prose=dataclasses.replace(config.corpus.prose, enabled=False),
    )  # fmt: skip
    _check(corpus, against, out)

    # 1: files, and a gap of each shape in each.
    dropped: Counter[str] = Counter()
    no_place: Counter[tuple[str, str]] = Counter()
    files = held_out_files(corpus, out, limits, dropped)
    found = list(candidates(files, quotas, limits, seed=seed, no_place=no_place))

    # 2: what the training corpus gives away is left out, before anything is chosen.
    contaminated: dict[str, Found] = {}
    read: dict[str, int] = {}
    if corpus.decontaminate.enabled:
        contaminated, read = find_contaminated(found, against, corpus.decontaminate)
    clean = [one for one in found if one.name not in contaminated]

    # 3: so many of each language and shape.
    taken = choose(clean, quotas, seed=seed)
    if not taken:
        raise UserError(_nothing(dropped, no_place, contaminated))

    report = {
        "aixmeg": __version__, "tasks": len(taken),
        "settings": {
            "repositories": list(map(str, repositories)), "seed": seed, "per_shape": per_shape, "quota": list(quota),
            **_described(limits, corpus), "decontaminate": dataclasses.asdict(corpus.decontaminate) if read else None,
        },
        "training_files": read, "files_left_out": dict(sorted(dropped.items())),
        "shapes": _counts(found, contaminated, taken, no_place, quotas),
        "contaminated": [
            {"task": name, **dataclasses.asdict(why)} for name, why in sorted(contaminated.items())[:_LISTED]
        ],
    }  # fmt: skip
    _publish(out, taken, report)
    _print(report, out)
    return report


def _limits(
    file_bytes: int, middle_bytes: int, folder: Path | None, file_tokens: int | None, middle_tokens: int | None
) -> Limits:
    given = {"--max-file-bytes": file_bytes, "--max-middle-bytes": middle_bytes, "--max-file-tokens": file_tokens,
             "--max-middle-tokens": middle_tokens}  # fmt: skip
    wrong = [f"{name} {value} must be at least 1" for name, value in given.items() if value is not None and value < 1]
    if folder is None and (file_tokens is not None or middle_tokens is not None):
        wrong.append("--max-file-tokens and --max-middle-tokens need --tokenizer DIR, which counts them")
    if wrong:
        raise UserError("; ".join(wrong))
    return Limits(
        middle_bytes=middle_bytes, middle_tokens=middle_tokens, file_tokens=file_tokens,
        tokenizer=None if folder is None else CodeTokenizer.from_folder(folder),
    )  # fmt: skip


def _described(limits: Limits, corpus: CorpusConfig) -> dict[str, Any]:
    return {
        "languages": list(corpus.languages), "max_file_bytes": corpus.max_file_bytes,
        "max_middle_bytes": limits.middle_bytes, "max_file_tokens": limits.file_tokens,
        "max_middle_tokens": limits.middle_tokens, "tokenizer": limits.tokenizer.sha256 if limits.tokenizer else None,
    }  # fmt: skip


def _check(corpus: CorpusConfig, against: Sequence[Path], out: Path) -> None:
    if corpus.decontaminate.enabled and not against:
        raise UserError(
            "--against names no training corpus, so nothing says that the tasks are new to the model; name the folder "
            "of `aixmeg corpus build`, or set --corpus.decontaminate.enabled false"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already, and a set is not changed under its results; choose another --out")


def _nothing(
    dropped: Mapping[str, int], no_place: Mapping[tuple[str, str], int], contaminated: Mapping[str, Found]
) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items())) or "none"
    return (
        f"no task is left: files left out: {reasons}; {sum(no_place.values())} times no place for a shape; "
        f"{len(contaminated)} gaps are in the training corpus; name repositories that were held out of it"
    )


def _counts(
    found: Sequence[Candidate], contaminated: Mapping[str, Found], taken: Sequence[Candidate],
    no_place: Mapping[tuple[str, str], int], quotas: Quotas,
) -> dict[str, dict[str, int]]:  # fmt: skip
    """`language/shape` → what became of its files."""

    def key(one: Candidate) -> tuple[str, str]:
        return one.document.language, one.shape

    gaps, chosen = Counter(map(key, found)), Counter(map(key, taken))
    bad = {what: Counter(key(one) for one in found if one.name in contaminated and contaminated[one.name].what == what)
           for what in ("file", "gap")}  # fmt: skip
    table = {}
    for language, shape in sorted({*gaps, *no_place}, key=lambda pair: (pair[0], SHAPES.index(pair[1]))):
        pair = language, shape
        left = gaps[pair] - bad["file"][pair] - bad["gap"][pair]
        table[f"{language}/{shape}"] = {
            "quota": quotas(*pair), "taken": chosen[pair], "over_quota": left - chosen[pair],
            "contaminated_file": bad["file"][pair], "contaminated_gap": bad["gap"][pair],
            "no_place": no_place.get(pair, 0),
        }  # fmt: skip
    return table


def _record(one: Candidate) -> dict[str, str]:
    content = one.document.content
    return {
        "task_id": one.name, "task_type": one.shape, "language": one.document.language,
        "pre_mask_code": content[: one.start].decode(), "post_mask_code": content[one.end :].decode(),
        "canonical_solution": one.middle.decode(), "repository": one.document.repository, "path": one.document.path,
    }  # fmt: skip


def _publish(out: Path, taken: Sequence[Candidate], report: Mapping[str, Any]) -> None:
    """The whole folder, or nothing."""
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with atomic_write(temporary / "tasks.jsonl", "wb") as file:
            for one in taken:
                file.write(json.dumps(_record(one), ensure_ascii=False).encode() + b"\n")
        write_json(temporary / "report.json", report)
        try:
            replace_folder(temporary, out)
        except OSError as error:
            raise write_error(out, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _print(report: Mapping[str, Any], out: Path) -> None:
    console = Console()
    table = Table(title=f"{report['tasks']} tasks")
    columns = ("taken", "quota", "over_quota", "contaminated_file", "contaminated_gap", "no_place")
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for name, counts in report["shapes"].items():
        table.add_row(name, *(str(counts[column]) for column in columns))
    console.print(table)
    left_out = ", ".join(f"{count} {reason}" for reason, count in report["files_left_out"].items())
    console.print(f"files left out: {left_out or 'none'}")
    read = sum(report["training_files"].values())
    console.print(f"compared with {read} training files" if read else "not compared with any training corpus")
    print(f"{out / 'tasks.jsonl'}, {out / 'report.json'}; run `aixmeg eval fim-eval --data {out / 'tasks.jsonl'} …`")
