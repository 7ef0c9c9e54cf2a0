"""Loss curves of a small model in fp32 and bf16 against each native FP8 recipe, on the same batches.

    python tools/fp8_curves.py [--steps 300] [--seeds 1 2 3] [--runs fp32 bf16 …] [--out tools/benchmark/results]

The text is this machine's Python standard library, as bytes (a vocabulary of 256); the model has 0.8 M parameters. FP8
runs compute everything but their matrix products in fp32 (…+bf16: in bf16), and so compare with fp32 (bf16) of the same
seed, which decides the initial weights. One run's distance is mostly chance, for training amplifies any difference; so
the main runs repeat with several seeds, and the spread of fp32 over the seeds stands beside the distances. Writes
fp8_curves.json and fp8_curves.svg.
"""

from __future__ import annotations

import argparse
import importlib.util
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aixmeg.config import Config, ModelConfig, OptimizerConfig, ParallelConfig, TokenizerConfig, TrainConfig
from aixmeg.files import write_json
from aixmeg.parallel import launch
from aixmeg.parallel.topology import Topology

SEQUENCE, BATCH, MICRO = 128, 8, 4
WARMUP = 20
LAST = 50
"""Steps at the end whose mean loss is compared: the mean of as many batches is steadier than one."""
MODEL = ModelConfig(
    num_layers=4, hidden_size=128, ffn_hidden_size=352, num_attention_heads=4, num_query_groups=2, seq_length=SEQUENCE,
    vocab_size=256,
)  # fmt: skip
RUNS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "delayed": {"recipe": "delayed"},
    "tensorwise": {"recipe": "tensorwise"},
    "rowwise": {"recipe": "rowwise"},
    "bf16": {"precision": "bf16"},
    "tensorwise+bf16": {"recipe": "tensorwise", "precision": "bf16"},
    "delayed, ends kept": {"recipe": "delayed", "kept": True},
}
REPEATED = ("fp32", "delayed", "tensorwise", "rowwise")
"""With every seed; the others with the first alone: bf16 is slow on processors without its instructions."""
COLOURS = ("#222", "#999", "#0a7", "#d33", "#27d", "#c80", "#a3c", "#5bd")


def main() -> None:
    """Train every run, print and write the distances."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), metavar="RUN", help=" | ".join(RUNS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "benchmark" / "results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train, held_out = text()
    launch.start(launch.discover({}))
    found = {
        name: [
            run(train, held_out, arguments.steps, seed=seed, **RUNS[name])
            for seed in (arguments.seeds if name in REPEATED else arguments.seeds[:1])
        ]
        for name in arguments.runs
    }
    launch.stop()
    summary = distances(found)
    for name, row in summary.items():
        print(f"{name:20s}", "  ".join(f"{key} {value:+.4f}" for key, value in row.items()))
    arguments.out.mkdir(parents=True, exist_ok=True)
    about = {
        **hardware(),
        "torch": torch.__version__,
        "command": f"python tools/fp8_curves.py --steps {arguments.steps}",
    }
    shape = {"tokens_per_step": BATCH * SEQUENCE, "text_bytes": len(train), "unit": "nats per byte"}
    losses = {
        name: [[round(value, 4) for value in result["losses"]] for result in results] for name, results in found.items()
    }
    write_json(arguments.out / "fp8_curves.json", {**about, **shape, "summary": summary, "losses": losses})
    first = {name: results[0]["losses"] for name, results in found.items()}
    (arguments.out / "fp8_curves.svg").write_text(drawing(first))


def text() -> tuple[np.ndarray, np.ndarray]:
    """Bytes to train on, and those of every sixteenth file, held out."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    parts = [b"".join(path.read_bytes() for i, path in enumerate(files) if (i % 16 == 0) == held) for held in (0, 1)]
    train, held_out = (np.frombuffer(part, dtype=np.uint8).astype(np.int64) for part in parts)
    return train, held_out


def rows_of(data: np.ndarray, count: int, *, seed: int) -> list[np.ndarray]:
    """`count` places of the text, SEQUENCE + 1 bytes each: a function of the seed."""
    starts = np.random.default_rng(seed).integers(0, len(data) - SEQUENCE - 1, count)
    return [data[start : start + SEQUENCE + 1] for start in starts]


def settings(steps: int, *, precision: Any, seed: int, recipe: str | None, kept: bool) -> Config:
    """One run's configuration."""
    fp8: dict[str, Any] = {} if recipe is None else {"fp8": "hybrid", "fp8_recipe": recipe}
    model = {**vars(MODEL), **fp8, "first_last_layers_bf16": kept}
    return Config(
        model=ModelConfig(**model),
        tokenizer=TokenizerConfig(vocab_size=MODEL.vocab_size),
        optimizer=OptimizerConfig(lr=1e-3, min_lr=1e-4, warmup_steps=WARMUP),
        train=TrainConfig(
            steps=steps,
            global_batch_size=BATCH,
            micro_batch_size=MICRO,
            precision=precision,
            seed=seed,
        ),
    )


def run(
    train: np.ndarray,
    held_out: np.ndarray,
    steps: int,
    *,
    precision: str = "fp32",
    seed: int = 1,
    recipe: str | None = None,
    kept: bool = False,
) -> dict[str, Any]:
    """Train, then evaluate: the loss of each step, the held-out loss, seconds."""
    from aixmeg.train.batches import make_batch
    from aixmeg.train.build import build_training
    from aixmeg.train.schedule import learning_rate
    from aixmeg.train.step import train_step

    config = settings(steps, precision=precision, seed=seed, recipe=recipe, kept=kept)
    device, start = torch.device("cpu"), time.perf_counter()
    topology = Topology.create(ParallelConfig(), seed)
    training = build_training(config, topology, device)
    losses = []
    for step in range(steps):
        rows = rows_of(train, BATCH, seed=1000 + step)
        batches = [make_batch(rows[first : first + MICRO], device) for first in range(0, BATCH, MICRO)]
        losses.append(train_step(training, batches, lr=learning_rate(step + 1, config.optimizer, steps=steps)).loss)
    batch = make_batch(rows_of(held_out, 64, seed=7), device)
    with torch.no_grad():
        held = training.models[0](batch.tokens, labels=batch.labels).mean().item()
    topology.destroy()
    print(f"{precision} {recipe} seed {seed}: {losses[-1]:.4f}, {time.perf_counter() - start:.0f} s", flush=True)
    return {"losses": losses, "held_out": held}


def distances(found: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Of each run from fp32 with the same seed, or from bf16 where it computes in that; means over the seeds.

    `last`: mean loss of the last LAST steps; `held_out`: loss of text that was not trained on; `worst`: the largest
    distance of a seed's `last`; `spread`: standard deviation of `last` over the seeds.
    """
    summary = {}
    for name, results in found.items():
        base = found.get("bf16" if name.endswith("+bf16") else "fp32", results)
        last, other = (np.array([np.mean(r["losses"][-LAST:]) for r in side]) for side in (results, base))
        held, other_held = (np.array([r["held_out"] for r in side]) for side in (results, base))
        count = min(len(last), len(other))
        apart = last[:count] - other[:count]
        summary[name] = {
            "seeds": len(results),
            "last": round(float(last.mean()), 4),
            "last_distance": round(float(apart.mean()), 4),
            "worst_distance": round(float(np.abs(apart).max()), 4),
            "spread": round(float(last.std(ddof=1)), 4) if len(last) > 1 else 0.0,
            "held_out": round(float(held.mean()), 4),
            "held_out_distance": round(float((held[:count] - other_held[:count]).mean()), 4),
        }
    return summary


def hardware() -> dict[str, Any]:
    """What the numbers belong to, from the benchmarks' own description."""
    path = Path(__file__).parent / "benchmark" / "hardware.py"
    spec = importlib.util.spec_from_file_location("hardware", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.describe()


def drawing(losses: dict[str, list[float]], width: int = 900, height: int = 320) -> str:
    """Two panels: the losses, and their distance from fp32, smoothed over 20 steps."""
    smooth = {name: np.convolve(values, np.full(20, 0.05), mode="valid") for name, values in losses.items()}
    base = smooth.get("fp32", next(iter(smooth.values())))
    panels = [("loss, nats per byte", smooth), ("distance from fp32", {name: y - base for name, y in smooth.items()})]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{2 * height + 60}" '
             'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>']  # fmt: skip
    for panel, (title, curves) in enumerate(panels):
        top = 30 + panel * (height + 20)
        low, high = min(y.min() for y in curves.values()), max(y.max() for y in curves.values())
        span = max(high - low, 1e-9)
        parts.append(f'<text x="60" y="{top - 8}">{title}</text>')
        for share in (0, 0.5, 1):
            y = top + (height - 40) * (1 - share)
            parts.append(f'<line x1="60" x2="{width - 20}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                         f'<text x="4" y="{y + 4}">{low + share * span:.3f}</text>')  # fmt: skip
        for index, (name, values) in enumerate(curves.items()):
            x = np.linspace(60, width - 20, len(values))
            y = top + (height - 40) * (1 - (values - low) / span)
            points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
            colour = COLOURS[index % len(COLOURS)]
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
            if panel == 0:
                parts.append(f'<text x="{width - 240}" y="{top + 16 + 15 * index}" fill="{colour}">{name}</text>')
    return "".join([*parts, "</svg>\n"])


if __name__ == "__main__":
    main()
