"""Start, meeting, logs and checkpoints at 8 to 1,024 nodes of 8 GPUs, on paper: counts from the code's structure times
unit costs measured on one machine (scale_units.py).

    python tools/scale.py --measure      # unit costs into tools/benchmark/results/scale.json
    python tools/scale.py --write        # the table into docs/cluster.md
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path

from aixmeg.files import atomic_write, write_json

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "tools/benchmark/results/scale.json"
PAGE = ROOT / "docs/cluster.md"
BEGIN, END = "<!-- scale: by tools/scale.py -->\n", "<!-- end of scale -->\n"
NODES = (8, 32, 128, 512, 1024)
GPUS = 8
"""Of a node, each with its rank."""
PARAMETERS = 7_432_000_000
LARGEST = 49_152 * 4096 // 2
"""Parameters of the largest tensor of one rank in examples/aixcoder_7b.yaml, which has one writer."""
FILE_SYSTEM_RATE = 10e9
"""Bytes a second that a parallel file system takes from all ranks: an assumption, not measured here."""
METADATA_RATE = 100_000
"""Metadata operations a second of a parallel file system: an assumption, not measured here."""
PATIENCE = 600.0
"""Seconds that ranks wait for each other while they meet."""
OPEN_FILES = 1024
"""Usual soft limit of open files."""
HARD_OPEN_FILES = 524_288
"""Usual hard limit, up to which aixmeg raises it."""
STEP_SECONDS = 5.0
Units = Mapping[str, float]


def at(nodes: int, units: Units) -> dict[str, float]:
    """Everything at one size."""
    ranks = nodes * GPUS
    operations = ranks * (units["start_opens"] + units["start_stats"])
    size = PARAMETERS * units["checkpoint_bytes_per_parameter"]
    share = max(size / ranks, LARGEST * units["checkpoint_bytes_per_parameter"])
    steps = 86_400 / STEP_SECONDS
    return {
        "ranks": ranks,
        "import_operations": operations,
        "import_seconds": units["start_cpu_seconds"] + operations / METADATA_RATE,
        "meeting_seconds": ranks**2 * units["store_cpu_seconds_per_pair"] + ranks * units["pair_cpu_seconds"],
        "meeting_seconds_lazy": ranks**2 * units["lazy_store_cpu_seconds_per_pair"],
        "open_files": ranks * units["pair_files"],
        "open_files_lazy": math.log2(ranks) * units["lazy_files_per_doubling"],
        "metrics_bytes_a_day": steps * (units["metrics_bytes"] + units["board_bytes"]),
        "failure_bytes": ranks * units["stacks_bytes"],
        "checkpoint_bytes": size,
        "checkpoint_files": ranks + 4,
        "checkpoint_seconds": max(share / units["write_bytes_per_second"], size / FILE_SYSTEM_RATE)
        + share / units["hash_bytes_per_second"]
        + (ranks + 4) * units["file_seconds"],
    }


def largest(units: Units) -> dict[str, int]:
    """Nodes at which each part breaks: ranks wait longer than they may, or have more files open."""
    per_pair = units["store_cpu_seconds_per_pair"]
    return {
        "meeting": int(math.sqrt(PATIENCE / per_pair) / GPUS),
        "soft limit of open files": int(OPEN_FILES / units["pair_files"] / GPUS),
        "hard limit of open files": int(HARD_OPEN_FILES / units["pair_files"] / GPUS),
        "imports": int((PATIENCE - units["start_cpu_seconds"]) * METADATA_RATE
                       / (GPUS * (units["start_opens"] + units["start_stats"]))),
    }  # fmt: skip


_ROWS = (
    ("ranks", "ranks", 1, ",.0f"),
    ("file-system operations of all imports, millions", "import_operations", 1e6, ",.2f"),
    ("until all have imported, s", "import_seconds", 1, ",.0f"),
    ("until all have met, s", "meeting_seconds", 1, ",.1f"),
    ("the same with TORCH_GLOO_LAZY_INIT=1, s", "meeting_seconds_lazy", 1, ",.1f"),
    ("connections of a rank", "open_files", 1, ",.0f"),
    ("the same with TORCH_GLOO_LAZY_INIT=1", "open_files_lazy", 1, ",.0f"),
    ("metrics and TensorBoard, MB a day at 5 s a step", "metrics_bytes_a_day", 1e6, ",.1f"),
    ("stacks of a failure, MB", "failure_bytes", 1e6, ",.1f"),
    ("checkpoint, GB", "checkpoint_bytes", 1e9, ",.0f"),
    ("files of a checkpoint", "checkpoint_files", 1, ",.0f"),
    ("writing it beside the training, s", "checkpoint_seconds", 1, ",.0f"),
)


def table(units: Units) -> str:
    """Markdown."""
    columns = [at(nodes, units) for nodes in NODES]
    lines = ["| nodes | " + " | ".join(f"{nodes:,}" for nodes in NODES) + " |", "|---" * (len(NODES) + 1) + "|"]
    for title, name, unit, form in _ROWS:
        lines.append(f"| {title} | " + " | ".join(format(column[name] / unit, form) for column in columns) + " |")
    ends = largest(units)
    lines += [
        "",
        f"Where it breaks: the soft limit of {OPEN_FILES:,} open files at {ends['soft limit of open files']:,} nodes, "
        f"which aixmeg raises to the hard one; the meeting of all ranks, longer than {PATIENCE:.0f} s, at "
        f"{ends['meeting']:,} nodes; imports from one shared file system, as long, at {ends['imports']:,} nodes.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measure", action="store_true", help="measure the unit costs here, a minute")
    parser.add_argument("--write", action="store_true", help="put the table into docs/cluster.md")
    options = parser.parse_args()
    if options.measure:
        sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools/benchmark")]
        from hardware import describe
        from scale_units import measure

        write_json(UNITS, {**describe(), "units": measure()})
    text = table(json.loads(UNITS.read_text())["units"])
    if options.write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        _, _, tail = rest.partition(END)
        with atomic_write(PAGE) as file:
            file.write(head + BEGIN + text + END + tail)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
