"""The whole corpus build: MB of source per CPU-second, and the share of every phase and step.

    python tools/benchmark/corpus_build.py [--corpus DIR] [--config FILE] [--workers 1 2] [--json FILE]

Without a corpus it reads this machine's own source code. Licences are judged and unknown ones kept, and no repository
is dropped for its rank, so that the expensive steps see what they would see of a corpus whose licences are known.
`found` MB count every file with a text that was read; `through` MB those that reached the last phases.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hardware import describe

from aixmeg.config import CorpusConfig
from aixmeg.config.load import load_config
from aixmeg.corpus.build import build_corpus
from aixmeg.errors import UserError
from aixmeg.files import write_json

PHASES = ("list", "scan", "gather", "judge", "decide", "clean", "order")

RESULTS = Path(__file__).parent / "results"


def settings(config: Path | None, corpus: Path | None) -> CorpusConfig:
    """All steps on."""
    base = load_config(config).corpus if config is not None else CorpusConfig()
    if config is None:
        base = dataclasses.replace(
            base,
            licence=dataclasses.replace(base.licence, unknown="keep"),
            rank=dataclasses.replace(base.rank, drop_share=0.0),
        )
    return base if corpus is None else dataclasses.replace(base, sources=(corpus,))


def measure(config: CorpusConfig, workers: int) -> dict[str, Any]:
    """One build; what its report says of time."""
    with tempfile.TemporaryDirectory() as folder:
        report = build_corpus(dataclasses.replace(config, workers=workers), Path(folder) / "corpus")
    dropped = report["dropped"]
    unread = sum(dropped[reason]["bytes"] for reason in ("too_large", "unknown_language", "language_not_selected",
                 "no_grammar", "symlink", "not_a_file", "bad_name") if reason in dropped)  # fmt: skip
    timing = report["timing"]
    read = (report["found"]["bytes"] - unread) / 1e6
    through = (report["kept"]["bytes"] + sum(dropped.get(reason, {"bytes": 0})["bytes"] for reason in
               ("syntax_errors", "defect_bug", "defect_vulnerability", "contaminated"))) / 1e6  # fmt: skip
    return {
        "workers": workers,
        "read_mb": round(read, 3),
        "through_mb": round(through, 3),
        "kept_mb": round(report["kept"]["bytes"] / 1e6, 3),
        "files": report["found"]["files"],
        "cpu_seconds": timing["cpu_seconds"],
        "read_mb_per_cpu_second": round(read / timing["cpu_seconds"], 3),
        "through_mb_per_cpu_second": round(through / timing["cpu_seconds"], 3),
        "wall": timing["wall"],
        "cpu": timing["cpu"],
        "peak_mb": round(timing["peak_bytes"] / 1e6, 1),
    }


def show(run: dict[str, Any]) -> None:
    """A table of phases and steps."""
    total = run["cpu_seconds"]
    print(f"\n{run['workers']} workers: {run['read_mb']:.1f} MB read, {run['through_mb']:.1f} MB through all steps, "
          f"{total:.1f} CPU s, peak {run['peak_mb']:.0f} MB")  # fmt: skip
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}{'share':>8}")
    for phase in PHASES:
        cpu = run["cpu"].get(phase)
        spent = f"{cpu:8.2f}{cpu / total:8.1%}" if cpu is not None else ""
        print(f"{phase:24}{run['wall'][phase]:8.2f}{spent}")
        for name, seconds in run["cpu"].items():
            if name.startswith(f"{phase}."):
                print(f"  {name.partition('.')[2]:22}{'':8}{seconds:8.2f}{seconds / total:8.1%}")
    print(f"MB per CPU-second: {run['read_mb_per_cpu_second']:.2f} of what was read, "
          f"{run['through_mb_per_cpu_second']:.2f} of what went through all steps")  # fmt: skip


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="folder of repositories; this machine's source code if left out")
    parser.add_argument("--config", type=Path, help="YAML file, whose corpus section is used")
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="one build for each number")
    parser.add_argument(
        "--json",
        type=Path,
        help="where the figures go",
        default=Path(__file__).parent / "results" / "corpus_build.json",
    )
    arguments = parser.parse_args()
    config = settings(arguments.config, arguments.corpus)
    runs = []
    for workers in arguments.workers:
        runs.append(measure(config, workers))
        show(runs[-1])
    if len(runs) > 1:
        parallel = ("scan", "judge", "clean", "order")
        walls = [sum(run["wall"][phase] for phase in parallel) for run in runs]
        shares = [f"{run['workers']} workers {wall / walls[0]:.1%}" for run, wall in zip(runs, walls, strict=True)]
        print(f"\nwall time of the parallel phases, of the first run's: {', '.join(shares)}")
    write_json(arguments.json, {"machine": {**describe(), "load": os.getloadavg()[0]}, "runs": runs})
    print(json.dumps({"written": str(arguments.json)}))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
