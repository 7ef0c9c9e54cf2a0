"""Training step of the 7B model's layer stack on one GPU: time, tokens/s, model FLOP/s and their share of the peak.

    python tools/benchmark/model_gpu.py [--layers 8 16] [--precisions bf16 delayed tensorwise rowwise] [--out DIR]

The whole step as `aixmeg train` runs it (megatron-core's schedule, gradient buffers, fused AdamW), on random tokens,
micro-batch 1, sequence 8,192. Two conventions for the FLOPs of a token, forward and backward, with P the parameters of
matrix products (the output layer included, the embedding not), L layers, h hidden, s sequence:

    full    6 P + 12 L h s        attention counted as if every position saw all s
    causal  6 P +  6 L h s        what causal attention needs

MFU is the causal one over the GPU's published dense bf16 peak, also for FP8, whose own peak is twice that.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hardware import describe
from rich.console import Console
from rich.table import Table

from aixmeg.config import PRESETS, Config, ModelConfig, TrainConfig
from aixmeg.files import write_json
from aixmeg.parallel.topology import Topology
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.step import train_step

PEAK_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "B200": 2250e12}
"""Dense, from the vendor's data sheets."""


def flops_per_token(model: ModelConfig) -> tuple[float, float]:
    """(full, causal), forward and backward; recomputed work is not counted."""
    h, f, layers = model.hidden_size, model.ffn_hidden_size, model.num_layers
    qkv = h * model.head_size * (model.num_attention_heads + 2 * model.num_query_groups)
    out = model.num_attention_heads * model.head_size * h
    products = layers * (qkv + out + 3 * h * f) + model.vocab_size * h
    attention = layers * model.num_attention_heads * model.head_size * model.seq_length
    return 6.0 * products + 12.0 * attention, 6.0 * products + 6.0 * attention


def configuration(preset: str, layers: int, seq_length: int, precision: str) -> Config:
    """One rank's training; `precision` is bf16, fp32 or the name of an FP8 recipe."""
    fp8 = {} if precision in ("bf16", "fp32") else {"fp8": "hybrid", "fp8_recipe": precision}
    model = replace(PRESETS[preset], num_layers=layers, seq_length=seq_length, **fp8)
    train = TrainConfig(
        steps=10, global_batch_size=1, micro_batch_size=1, precision="fp32" if precision == "fp32" else "bf16"
    )
    return Config(model=model, train=train)


def measure(config: Config, device: torch.device, rounds: int) -> dict[str, Any]:
    """Median step, after three that warm up; {"failed": …} where it does not fit."""
    topology = Topology.create(config.parallel, config.train.seed)
    try:
        training = build_training(config, topology, device)
        ids = torch.randint(0, config.model.vocab_size, (1, config.model.seq_length + 1), device=device)
        batch = Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous())
        times, losses = [], []
        for _ in range(rounds + 3):
            _finish(device)
            start = time.perf_counter()
            losses.append(train_step(training, [batch], lr=1e-5).loss)
            _finish(device)
            times.append(time.perf_counter() - start)
        peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        return {"seconds": statistics.median(times[3:]), "losses": losses, "memory_gb": round(peak / 1e9, 2)}
    except torch.OutOfMemoryError as error:
        return {"failed": str(error).split(".", 1)[0]}
    finally:
        topology.destroy()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_of(device: torch.device) -> float | None:
    """Published dense bf16 peak of the GPU, or None for an unknown one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for part, peak in PEAK_BF16.items() if part in name), None)


def run(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every combination."""
    device = torch.device(given.device)
    store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    peak, rows = peak_of(device), []
    for layers in given.layers:
        bf16 = None
        for precision in given.precisions:
            config = configuration(given.preset, layers, given.seq_length, precision)
            found = measure(config, device, given.rounds)
            row: dict[str, Any] = {"layers": layers, "precision": precision, **found}
            if "seconds" in found:
                full, causal = flops_per_token(config.model)
                speed = given.seq_length / found["seconds"]
                row |= {"tokens_per_second": round(speed, 1), "tflops_full": round(speed * full / 1e12, 2),
                        "tflops_causal": round(speed * causal / 1e12, 2)}  # fmt: skip
                row |= (
                    {"mfu_causal": round(speed * causal / peak, 4), "mfu_full": round(speed * full / peak, 4)}
                    if (peak)
                    else {}
                )
                bf16 = found["seconds"] if precision == "bf16" else bf16
                row |= {"times_bf16": round(bf16 / found["seconds"], 3)} if bf16 else {}
            rows.append(row)
    torch.distributed.destroy_process_group()
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {**describe(), "gpu": gpu, "torch": torch.__version__, "preset": given.preset, "rounds": given.rounds,
            "seq_length": given.seq_length, "peak_bf16_tflops": peak and peak / 1e12, "rows": rows}  # fmt: skip


def show(found: dict[str, Any]) -> None:
    """One line per combination."""
    table = Table(title=f"training step of {found['preset']}'s layers, sequence {found['seq_length']}, {found['gpu']}")
    names = ("layers", "precision", "seconds", "tokens_per_second", "tflops_causal", "mfu_causal", "mfu_full",
             "times_bf16", "memory_gb", "failed")  # fmt: skip
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in found["rows"]:
        table.add_row(*(f"{row[name]:.4g}" if isinstance(row.get(name), float) else str(row.get(name, "–"))
                        for name in names))  # fmt: skip
    Console(width=160).print(table)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--precisions", nargs="+", default=["bf16", "delayed", "tensorwise", "rowwise"])
    parser.add_argument("--preset", default="aixcoder_7b")
    parser.add_argument("--seq-length", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser


def main() -> None:
    """Measure, print, write results/model_gpu.json."""
    given = options().parse_args()
    found = run(given)
    show(found)
    write_json(given.out / "model_gpu.json", found)


if __name__ == "__main__":
    main()
