"""A random model of the real size through both conversions, and once more with --verify: speed beside a plain copy, and
peak memory.

    python tools/benchmark/convert_7b.py /tmp/convert7b --tokenizer TOKENIZER_DIR [--preset aixcoder_7b]

Needs three times the model's size on disk in the given folder, which is removed at the end. Each conversion is its own
process; its peak is the kernel's (VmHWM: mapped files included). The copy runs before and after, because a disk that
others use is not twice the same. The result, one JSON object, goes to standard output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from hardware import describe

from aixmeg.config import PRESETS
from aixmeg.convert.hf_config import config_json, generation_config_json
from aixmeg.convert.ledger import Ledger
from aixmeg.convert.mapping import hf_shapes
from aixmeg.convert.to_hf import MARKER
from aixmeg.convert.weights import write_weights
from aixmeg.files import read_json, write_json
from aixmeg.tokenizer.export import export_hf

CHILD = """
import resource, sys
from aixmeg.cli import main
status = main(sys.argv[1:])
print("PEAK", next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.exit(status)
"""


def main() -> int:
    """Make the model, convert it there and back, compare, and print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--preset", default="aixcoder_7b", choices=list(PRESETS))
    options = parser.parse_args()
    work: Path = options.work
    work.mkdir(parents=True)
    try:
        size = _make(work / "hf", options.preset, options.tokenizer)
        found: dict[str, Any] = {"preset": options.preset, "bytes": size, **describe()}
        found["copy"] = _copy(work, size)
        found["from-hf"] = _convert(["from-hf", work / "hf", work / "run"], size)
        found["to-hf"] = _convert(["to-hf", work / "run", work / "back"], size)
        found["copy after"] = _copy(work, size)
        found["identical"] = _digests(work / "hf").items() <= _digests(work / "back").items()  # and a file of prompts
        found["to-hf --verify"] = _convert(["to-hf", work / "run", work / "back", "--verify"], size)
        found["largest logit difference"] = read_json(work / "back" / MARKER)["largest_logit_difference"]
        print(json.dumps(found, indent=1))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def _make(folder: Path, preset: str, tokenizer: Path) -> int:
    """A Hugging Face folder of that size whose weights repeat no bytes."""
    model = PRESETS[preset]
    shapes = hf_shapes(model)
    ledger = Ledger(folder, {})
    generator = torch.Generator().manual_seed(1)

    def weights(names: Any) -> Any:
        for name in names:
            count = torch.Size(shapes[name]).numel()
            # Random signs and mantissas: numbers between 0.008 and 0.016, faster to draw than normal ones. Weights of
            # norms are between 1 and 2, so that layers and logits are of a trained model's size.
            bits = torch.randint(-(2**31), 2**31 - 1, (-(-count // 2),), dtype=torch.int32, generator=generator)
            kept, added = (0x7F, 0x3F80) if len(shapes[name]) == 1 else (-0x7F81, 0x3C00)
            yield name, (bits.view(torch.int16)[:count] & kept | added).view(torch.bfloat16).view(shapes[name])

    size = write_weights(ledger, weights, shapes, dtype=torch.bfloat16)
    ledger.close()
    write_json(folder / "config.json", config_json(model, "bfloat16"))
    write_json(folder / "generation_config.json", generation_config_json())
    shutil.copyfile(tokenizer / "tokenizer.model", folder / "tokenizer.model")
    export_hf(folder / "tokenizer.model", folder)
    return size


def _convert(words: list[Any], size: int) -> dict[str, float]:
    start = time.monotonic()
    command = [sys.executable, "-c", CHILD, "convert", *map(str, words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.monotonic() - start
    peak = int(done.stdout.split("PEAK")[1])
    return {"seconds": round(seconds, 1), "MB/s": round(size / 1e6 / seconds, 1), "peak_MB": round(peak * 1024 / 1e6)}


def _copy(work: Path, size: int) -> dict[str, float]:
    """`dd` of every shard, to the disk."""
    start = time.monotonic()
    for shard in sorted((work / "hf").glob("*.safetensors")):
        target = work / "copy"
        subprocess.run(["dd", f"if={shard}", f"of={target}", "bs=8M", "conv=fsync", "status=none"], check=True)
        target.unlink()
    seconds = time.monotonic() - start
    return {"seconds": round(seconds, 1), "MB/s": round(size / 1e6 / seconds, 1)}


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name != "aixmeg.json":
            with path.open("rb") as file:
                found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
