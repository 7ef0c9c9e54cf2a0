"""Training step of a 100 M model on the CPU: aixmeg beside transformers' Llama in eager mode, tokens per second.

    python tools/benchmark/train_step_cpu.py [--dtype fp32] [--threads 1] [--seq-length 512] [--rounds 6] [--out DIR]

Same sizes, dtype of weights, batch, threads and work in both: forward, loss, backward, clipping of the norm, AdamW.
aixmeg's side is the step of `aixmeg train` (megatron-core's schedule and gradient buffers, the kernels of csrc/, master
weights and states in float32); the other is LlamaForCausalLM with SDPA attention, torch.nn.utils.clip_grad_norm_ and
torch's fused AdamW, whose states have the weights' dtype. The sides take turns; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hardware import describe
from megatron.core import parallel_state

from aixmeg.config import PRESETS, Config, ModelConfig, TrainConfig
from aixmeg.files import write_json
from aixmeg.model.builder import count_parameters
from aixmeg.parallel.topology import Topology
from aixmeg.train.batches import Batch
from aixmeg.train.build import build_training
from aixmeg.train.step import train_step

MODEL: ModelConfig = replace(
    PRESETS["tiny"], num_layers=12, hidden_size=768, ffn_hidden_size=2048, num_attention_heads=12, num_query_groups=4,
    vocab_size=16384,
)  # fmt: skip
"""100 M parameters; the vocabulary is small as the model is."""


def ours(config: Config, ids: torch.Tensor) -> Callable[[], float]:
    """One step; returns its loss."""
    topology = Topology.create(config.parallel, config.train.seed)
    training = build_training(config, topology, torch.device("cpu"))
    batch = Batch(tokens=ids[:, :-1].contiguous(), labels=ids[:, 1:].contiguous())
    return lambda: train_step(training, [batch], lr=1e-4).loss


def theirs(config: Config, ids: torch.Tensor) -> Callable[[], float]:
    """The same with transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    model = config.model
    dtype = torch.bfloat16 if config.train.precision == "bf16" else torch.float32
    made: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=model.vocab_size, hidden_size=model.hidden_size, intermediate_size=model.ffn_hidden_size,
            num_hidden_layers=model.num_layers, num_attention_heads=model.num_attention_heads,
            num_key_value_heads=model.num_query_groups, max_position_embeddings=model.seq_length,
            tie_word_embeddings=model.share_embeddings_and_output_weights,
        )
    )  # fmt: skip
    llama = made.to(dtype)
    llama.config.use_cache = False
    options = config.optimizer
    optimizer = torch.optim.AdamW(
        llama.parameters(), lr=1e-4, betas=(options.adam_beta1, options.adam_beta2), eps=options.adam_eps,
        weight_decay=options.weight_decay, fused=True,
    )  # fmt: skip
    tokens, labels = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        logits = llama(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(llama.parameters(), options.clip_grad)
        optimizer.step()
        return loss.item()

    return step


def run(given: argparse.Namespace, model: ModelConfig = MODEL) -> dict[str, Any]:
    """Both sides by turns."""
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    config = Config(
        model=replace(model, seq_length=given.seq_length),
        train=TrainConfig(steps=10, global_batch_size=1, micro_batch_size=1, precision=given.dtype),
    )
    store = torch.distributed.HashStore()  # pyright: ignore[reportPrivateImportUsage]
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        ids = torch.randint(0, model.vocab_size, (1, given.seq_length + 1))
        sides = {"aixmeg": ours(config, ids), "transformers": theirs(config, ids)}
        best, losses = dict.fromkeys(sides, float("inf")), {name: [] for name in sides}
        for turn in range(given.rounds + 1):
            for name, step in sides.items():
                start = time.perf_counter()
                losses[name].append(step())
                if turn:
                    best[name] = min(best[name], time.perf_counter() - start)
    finally:
        parallel_state.destroy_model_parallel()
        torch.distributed.destroy_process_group()
    speeds = {name: given.seq_length / seconds for name, seconds in best.items()}
    return {**describe(), "torch": torch.__version__, "threads": given.threads, "dtype": given.dtype,
            "seq_length": given.seq_length, "parameters": count_parameters(config.model), "rounds": given.rounds,
            "tokens_per_second": {name: round(speed, 2) for name, speed in speeds.items()},
            "ratio": round(speeds["aixmeg"] / speeds["transformers"], 3), "losses": losses}  # fmt: skip


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seq-length", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    return parser


def main() -> None:
    """Measure, print, write results/train_step_cpu.json."""
    given = options().parse_args()
    found = [run(argparse.Namespace(**{**vars(given), "dtype": dtype})) for dtype in given.dtype]
    for one in found:
        print(f"{one['parameters'] / 1e6:.0f} M parameters, {one['dtype']}, {one['threads']} thread(s), tokens/s: "
              f"{one['tokens_per_second']}, ratio {one['ratio']}")  # fmt: skip
    write_json(given.out / "train_step_cpu.json", found)


if __name__ == "__main__":
    main()
