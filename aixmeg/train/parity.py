"""Do all layouts train the same model? Optimizer steps in each, compared with one rank's: twenty of a small model, and
three of the 7B model at a sixteenth of its width (all 32 layers, 32 heads over 8 groups, 49,152 ids).

Every layout gets the same samples and the same initial weights and goes through the step of `aixmeg train`. Samples end
in padding of different lengths, so that losses are weighed over micro-batches and ranks; the gradient is clipped, so
that its global norm counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist

from aixmeg.config import PRESETS, Config, ModelConfig, OptimizerConfig, ParallelConfig, TokenizerConfig, TrainConfig
from aixmeg.config.sections import DocumentUnit
from aixmeg.model.names import named_parameters, parameter_table, unshard
from aixmeg.parallel.topology import Topology
from aixmeg.train.batches import micro_batches, rank_samples, step_samples
from aixmeg.train.build import Training, build_training
from aixmeg.train.step import train_step


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is trained, and for how long."""

    model: ModelConfig
    steps: int
    global_batch_size: int
    micro_batch_size: int
    lr: float
    compare_weights: bool = True


SMALL: Final = Trial(
    model=ModelConfig(
        num_layers=4, hidden_size=64, ffn_hidden_size=96, num_attention_heads=4, num_query_groups=2,
        seq_length=48, vocab_size=128, rotary_base=10_000.0,
    ),
    steps=20, global_batch_size=8, micro_batch_size=2, lr=1e-3,
)  # fmt: skip
NARROW_7B: Final = Trial(
    model=replace(PRESETS["aixcoder_7b"], hidden_size=4096 // 16, ffn_hidden_size=14464 // 16, seq_length=96),
    steps=3, global_batch_size=4, micro_batch_size=1, lr=1e-5, compare_weights=False,
)  # fmt: skip
"""Most of its first gradient is near zero, and Adam makes steps of the learning rate of the rounding there: hence a
small one."""
TRIALS: Final = {"small": SMALL, "narrow-7b": NARROW_7B}
_SP: Final = {"tensor_model_parallel_size": 2, "sequence_parallel": True}
_PP: Final = {"pipeline_model_parallel_size": 2}
_CP: Final = {"context_parallel_size": 2}
_VPP: Final = {**_PP, "virtual_pipeline_model_parallel_size": 2, "overlap_p2p_comm": True}
LAYOUTS: Final[dict[str, tuple[int, dict[str, Any]]]] = {
    "TP2+SP": (2, _SP),
    "PP2": (2, _PP),
    "PP2, one layer in the last stage": (2, {**_PP, "num_layers_in_last_pipeline_stage": 1}),
    "PP3, embedding and loss as layers": (
        3,
        {
            "pipeline_model_parallel_size": 3,
            "account_for_embedding_in_pipeline_split": True,
            "account_for_loss_in_pipeline_split": True,
        },
    ),
    "PP2 x VPP2": (2, _VPP),
    "CP2": (2, _CP),
    "DP2": (2, {}),
    "DP2, plain optimizer": (2, {"use_distributed_optimizer": False}),
    "DP2, overlapped": (2, {"overlap_grad_reduce": True, "overlap_param_gather": True}),
    "TP2+SP x PP2": (4, {**_SP, **_PP}),
    "TP2+SP x CP2": (4, {**_SP, **_CP}),
    "DP2 x TP2+SP": (4, _SP),
    "DP2 x CP2": (4, _CP),
    "PP2 x CP2": (4, {**_PP, **_CP}),
    "PP2 x VPP2 x CP2": (4, {**_VPP, **_CP}),
    "CP4": (4, {"context_parallel_size": 4}),
}
"""Number of ranks and options of `parallel`."""
_SELECTIVE: Final = ("TP2+SP", "CP2")
RECOMPUTE: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "selective": {"recompute_granularity": "selective", "recompute_modules": ("core_attn", "mlp")},
    "full": {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1},
}
LOSS: Final = 1e-6
"""Largest relative difference of a loss or gradient norm from one rank's, in float32: partial sums are added in another
order, 1e-7 at a time."""
WEIGHT: Final = 1e-3
"""Largest difference of a weight as a share of what 20 steps of learning rate may move it: Adam divides by the root of
the mean square, so that the rounding error of a gradient near zero moves its weight as a real one would."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One training."""

    layout: str
    ranks: int
    recompute: str = "none"
    trial: Trial = SMALL

    def config(self) -> Config:
        """What `aixmeg train` would be given."""
        options = {} if self.ranks == 1 else LAYOUTS[self.layout][1]
        return Config(
            model=self.trial.model,
            tokenizer=TokenizerConfig(vocab_size=self.trial.model.vocab_size),
            parallel=ParallelConfig(**options, **RECOMPUTE[self.recompute]),
            optimizer=OptimizerConfig(lr=1e-3, min_lr=1e-4, warmup_steps=4, clip_grad=1.0),
            train=TrainConfig(
                precision="fp32",
                seed=7,
                steps=self.trial.steps,
                global_batch_size=self.trial.global_batch_size,
                micro_batch_size=self.trial.micro_batch_size,
            ),
        )


def alone(trial: Trial = SMALL) -> Case:
    """What all others are compared with."""
    return Case(layout="one rank", ranks=1, trial=trial)


def cases(ranks: int, trial: Trial = SMALL) -> list[Case]:
    """All trainings on so many ranks: of the small model with and without recomputation, of which the selective kind in
    two layouts; of the 7B model without, where its layers can be dealt out."""
    of_7b = trial is NARROW_7B
    return [
        Case(layout=layout, ranks=number, recompute=recompute, trial=trial)
        for layout, (number, _) in LAYOUTS.items()
        for recompute in (("none",) if of_7b else RECOMPUTE)
        if number == ranks and (recompute != "selective" or layout in _SELECTIVE)
        if not (of_7b and "pipeline_model_parallel_size" in LAYOUTS[layout][1] and number == 3)
    ]


class _Samples:
    """Sample i: ids of which every second one repeats the one before, and up to a third of padding at the end."""

    def __init__(self, model: ModelConfig) -> None:
        self.vocab_size, self.seq_length = model.vocab_size, model.seq_length

    def __getitem__(self, index: int, /) -> np.ndarray:
        ids = np.random.default_rng((1, index)).integers(1, self.vocab_size, self.seq_length + 1)
        ids[1::2] = ids[0:-1:2]
        ids[self.filled(index) :] = 0
        return ids

    def filled(self, index: int, /) -> int:
        return self.seq_length + 1 - int(np.random.default_rng((2, index)).integers(0, self.seq_length // 3))

    def documents(self, index: int, unit: DocumentUnit, /) -> np.ndarray:
        return np.array([0])

    def kinds(self, index: int, /) -> np.ndarray:
        kinds = np.random.default_rng((3, index)).integers(0, 3, self.seq_length).astype(np.uint8)
        kinds[self.filled(index) - 1 :] = 0
        return kinds


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a training came to."""

    losses: list[float]
    parts: list[tuple[float | None, float | None]]
    """Losses of text and of middles."""
    norms: list[float]
    weights: Mapping[str, torch.Tensor]
    """Whole tensors by global name, on rank 0; empty elsewhere, and where the trial compares none."""


def train_course(case: Case) -> Course:
    """Train one case; collective over its ranks, after `launch.start`."""
    config, samples_of = case.config(), _Samples(case.trial.model)
    topology = Topology.create(config.parallel, config.train.seed)
    try:
        device = (
            torch.device("cuda", torch.cuda.current_device()) if topology.backend == "nccl" else torch.device("cpu")
        )
        training = build_training(config, topology, device)
        losses, parts, norms = [], [], []
        for step in range(case.trial.steps):
            samples = step_samples(step, config.train)
            mine = rank_samples(samples, dp_rank=topology.dp_rank, dp_size=topology.dp_size)
            size = config.train.micro_batch_size
            batches = list(micro_batches(samples_of, mine, micro_batch_size=size, device=device, step=samples))
            result = train_step(training, batches, lr=case.trial.lr)
            losses.append(result.loss)
            parts.append((result.ntp_loss, result.middle_loss))
            norms.append(result.grad_norm)
        return Course(
            losses=losses, parts=parts, norms=norms, weights=_weights(training) if case.trial.compare_weights else {}
        )
    finally:
        topology.destroy()


def train_courses(some: Sequence[Case]) -> list[Course]:
    """Train some cases on equally many ranks, one after the other."""
    return [train_course(case) for case in some]


def _weights(training: Training) -> dict[str, torch.Tensor]:
    """Every rank's shards, joined on rank 0."""
    topology, table = training.topology, parameter_table(training.config.model)
    for model in training.wrapped:
        if model.use_forward_hook:
            model.disable_forward_pre_hook(param_sync=True)
    mine = [
        (info.name, topology.tp_rank, parameter.detach().cpu().clone())
        for chunk in training.models
        for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer)
    ]
    everyone: list[Any] = [None] * topology.world_size
    dist.all_gather_object(everyone, mine)
    if topology.rank:
        return {}
    shards = {(name, tp_rank): tensor for part in everyone for name, tp_rank, tensor in part}
    return {
        name: unshard(info, [shards[name, rank] for rank in range(topology.tp_size)]) for name, info in table.items()
    }


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far a training is from that of one rank."""

    loss: float
    """Largest relative difference of a step's loss, of all labels, of text or of middles."""
    norm: float
    """Largest relative difference of a step's gradient norm."""
    weight: float
    """Largest difference of a weight, as a share of what the steps' learning rates may have moved it."""

    @property
    def agrees(self) -> bool:
        """Within `LOSS` and `WEIGHT`."""
        return self.loss <= LOSS and self.norm <= LOSS and self.weight <= WEIGHT


def distance(course: Course, alone: Course, trial: Trial = SMALL) -> Distance:
    """Compare with the training on one rank."""
    if len(alone.weights) != len(course.weights):
        raise ValueError(f"{len(course.weights)} tensors cannot be compared with {len(alone.weights)}")
    reach = trial.steps * trial.lr
    return Distance(
        loss=max(_relative(_losses(course), _losses(alone))),
        norm=max(_relative(course.norms, alone.norms)),
        weight=max((float((course.weights[name] - one).abs().max()) for name, one in alone.weights.items()), default=0)
        / reach,
    )


def _relative(found: Sequence[float], expected: Sequence[float]) -> Iterator[float]:
    return (abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def _losses(course: Course) -> list[float]:
    return [*course.losses, *(loss for pair in course.parts for loss in pair if loss is not None)]
