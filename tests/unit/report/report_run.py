"""A run as the stages write it, small enough to build for every test."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from aixmeg.config import Config, dump_config

STEPS = 300

CORPUS = {
    "repositories": 63,
    "found": {"files": 5210, "bytes": 64_200_000, "skipped_folders": {"generated": 1675, "own_repository": 2}},
    "kept": {"files": 4312, "bytes": 41_800_000},
    "dropped": {
        "not_utf8": {"files": 12, "bytes": 210_000},
        "too_small": {"files": 402, "bytes": 9_100},
        "duplicate": {"files": 311, "bytes": 2_900_000},
        "syntax_errors": {"files": 168, "bytes": 4_100_000},
        "too_large": {"files": 5, "bytes": 15_180_900},
    },
    "by_language": {
        "python": {"files": 3601, "bytes": 35_200_000},
        "c": {"files": 198, "bytes": 2_100_000},
        "c++": {"files": 513, "bytes": 4_500_000},
    },
    "examples": {"not_utf8": ["cpython/Lib/test/bad_coding.py"], "too_large": ["torch/include/big.h"]},
    "seconds": 38.2,
    "sources": ["/usr/lib/python3.11", "/usr/include"],
}
TOKENIZER = {
    "vocab_size": 4096,
    "bytes_per_token": 3.1415,
    "files_checked": 64,
    "bytes_checked": 700_000,
    "held_out": True,
    "by_language": {
        "c": {"bytes": 90_000, "bytes_per_token": 2.61},
        "python": {"bytes": 610_000, "bytes_per_token": 3.24},
    },
    "training_files": 820,
    "training_bytes": 8_000_000,
    "seconds": 9.4,
    "sha256": "9f" * 32,
}
DATA = {
    "vocab_size": 4096,
    "tokenizer_sha256": "9f" * 32,
    "train": {
        "repositories": 60,
        "files": 4100,
        "bytes": 39_000_000,
        "tokens": 12_400_000,
        "middle_tokens": 912_000,
        "sfim_without_node": 37,
        "by_objective": {
            "sfim": {"files": 2833, "bytes": 27_000_000, "tokens": 8_700_000},
            "ntp": {"files": 1267, "bytes": 12_000_000, "tokens": 3_700_000},
        },
        "by_mode": {
            "psm": {"files": 1420, "bytes": 13_600_000, "tokens": 4_380_000},
            "spm": {"files": 1413, "bytes": 13_400_000, "tokens": 4_320_000},
            "none": {"files": 1267, "bytes": 12_000_000, "tokens": 3_700_000},
        },
        "by_language": {
            "python": {"files": 3430, "bytes": 33_000_000, "tokens": 10_400_000},
            "c++": {"files": 480, "bytes": 4_200_000, "tokens": 1_400_000},
            "c": {"files": 190, "bytes": 1_800_000, "tokens": 600_000},
        },
        "by_node": {"if_statement": 812, "block": 604, "function_definition": 377, "for_statement": 210},
    },
    "valid": {"repositories": 3, "files": 212, "bytes": 2_800_000, "tokens": 881_000},
}
INFILLS = [
    {
        "path": "requests/adapters.py",
        "language": "python",
        "mode": "PSM",
        "prefix": "import os\n\n\ndef size_of(path):\n    if not os.path.exists(path):\n",
        "suffix": "    return os.stat(path).st_size\n",
        "expected": "        return None\n",
        "completion": "        return None\n",
        "stopped": "end",
    },
    {
        "path": "numpy/core/vector.h",
        "language": "c++",
        "mode": "SPM",
        "prefix": "int sum(const int* values, int n) {\n    int total = 0;\n",
        "suffix": "    return total;\n}\n",
        "expected": "    for (int i = 0; i < n; ++i) total += values[i];\n",
        "completion": "    for (int i = 0; i < n; i++) {\n        total += 1;\n    }\n",
        "stopped": "length",
    },
]
FACTS = {
    "unigram": {"ntp": 6.871, "middle": 6.402},
    "tokenizer_sha256": "9f" * 32,
    "versions": {"python": "3.11.2", "torch": "2.13.0+cpu", "megatron-core": "0.16.1", "aixmeg": "0.1.0"},
    "ranks": 2,
    "started": "2025-01-02T03:04:05+00:00",
}


def train_record(step: int) -> dict[str, Any]:
    """A plausible record: noisy decay of the loss, warmup and cosine of the rate."""
    wave = math.sin(step * 12.9898) * 43758.5453
    noise = wave - math.floor(wave) - 0.5
    rate = min(step / 30, 0.55 + 0.45 * math.cos(math.pi * step / STEPS))
    return {
        "kind": "train",
        "step": step,
        "loss": 3.4 + 5.6 * math.exp(-step / 60) + 0.35 * noise,
        "grad_norm": 0.6 + 6 * math.exp(-step / 15) + 0.2 * noise,
        "lr": 1e-3 * rate,
        "tokens": step * 4096,
        "tokens_per_second": 5200 + 400 * noise - (3000 if step == 1 else 0),
        "seconds": 4096 / 5200,
        "seconds_data": 0.01 + 0.002 * noise,
        "seconds_communication": 0.05 + 0.01 * noise,
        "goodput": 1 - 1 / (step + 2),
        "memory_peak": 2_000_000_000,
        "norm_attention": 12 + step / 100,
        "norm_mlp": 20 + step / 90,
    }


def valid_record(step: int) -> dict[str, Any]:
    """A validation that follows the train loss."""
    base = 3.6 + 5.4 * math.exp(-step / 60)
    return {"kind": "valid", "step": step, "ntp_loss": base, "middle_loss": base - 0.5}


def lines_of(steps: range, every: int = 50) -> list[str]:
    """Lines of metrics.jsonl."""
    lines = []
    for step in steps:
        lines.append(json.dumps(train_record(step)))
        if step % every == 0:
            lines.append(json.dumps(valid_record(step)))
    return lines


def write(path: Path, content: Any) -> None:
    """Text as it is, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def fill(config: Config) -> None:
    """Write every part of a run."""
    run = config.paths.at("run")
    write(run / "metrics.jsonl", "\n".join(lines_of(range(1, STEPS + 1))) + "\n")
    write(run / "run.json", FACTS)
    write(run / "config.yaml", dump_config(config))
    write(run / "infills.json", INFILLS)
    write(config.paths.at("corpus") / "report.json", CORPUS)
    write(config.paths.at("tokenizer") / "tokenizer_report.json", TOKENIZER)
    write(config.paths.at("data") / "data.json", DATA)
