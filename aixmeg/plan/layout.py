"""One way to lay a configuration over GPUs, and the configuration that says so."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from aixmeg.config import Config, ParallelConfig

Recompute = Literal["none", "selective", "full"]
TRAINER_HAS = frozenset(f.name for f in dataclasses.fields(ParallelConfig))
"""Fields of the trainer's layout: what it lacks is not planned."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of every kind of parallelism; their product is the number of GPUs."""

    tp: int = 1
    sp: bool = False
    pp: int = 1
    vpp: int | None = None
    cp: int = 1
    dp: int = 1
    micro_batch_size: int = 1
    recompute: Recompute = "none"
    """selective: attention's inner part; full: every layer from its input."""
    recompute_method: Literal["uniform", "block"] = "uniform"
    recompute_num_layers: int = 1
    """uniform: layers between two kept inputs; block: layers per chunk that are recomputed, the others kept whole."""
    embedding_in_split: bool = False
    loss_in_split: bool = False

    @property
    def gpus(self) -> int:
        """GPUs of the whole layout."""
        return self.tp * self.pp * self.cp * self.dp

    @property
    def chunks(self) -> int:
        """Model chunks per pipeline rank."""
        return self.vpp or 1

    def layers(self, config: Config) -> list[list[int]]:
        """Layers of each stage's chunks: `[stage][chunk]`. Chunk c of stage p is number c * pp + p in the model."""
        pieces = self.pp * self.chunks
        counted = config.model.num_layers + self.embedding_in_split + self.loss_in_split
        split = [[counted // pieces] * self.chunks for _ in range(self.pp)]
        split[0][0] -= self.embedding_in_split
        split[-1][-1] -= self.loss_in_split
        return split

    def micro_batches(self, config: Config) -> int:
        """Micro-batches per step of one rank."""
        return config.train.global_batch_size // (self.micro_batch_size * self.dp)

    def name(self) -> str:
        """`tp4 sp pp2 vpp2 dp16 mb1 full`: only what differs from 1."""
        parts = [f"{kind}{size}" for kind, size in (("tp", self.tp), ("pp", self.pp), ("vpp", self.chunks),
                                                    ("cp", self.cp), ("dp", self.dp)) if size > 1]  # fmt: skip
        parts += ["sp"] * self.sp + [f"mb{self.micro_batch_size}"]
        parts += [] if self.recompute == "none" else [f"recompute-{self.recompute}"]
        return " ".join(parts)


def layout_of(config: Config, gpus: int) -> Layout:
    """The layout that a configuration asks for, on that many GPUs; the GPUs left over are data parallel."""
    parallel = config.parallel
    optional = {
        name: getattr(parallel, field)
        for name, field in _OPTIONAL.items()
        if field in TRAINER_HAS and getattr(parallel, field) is not None
    }
    cp = optional.get("cp", 1)
    model = parallel.tensor_model_parallel_size * parallel.pipeline_model_parallel_size * cp
    return Layout(
        tp=parallel.tensor_model_parallel_size,
        sp=parallel.sequence_parallel,
        pp=parallel.pipeline_model_parallel_size,
        vpp=parallel.virtual_pipeline_model_parallel_size,
        dp=max(1, gpus // model),
        micro_batch_size=config.train.micro_batch_size,
        **optional,
    )


_OPTIONAL = {
    "cp": "context_parallel_size",
    "recompute": "recompute_granularity",
    "recompute_method": "recompute_method",
    "recompute_num_layers": "recompute_num_layers",
    "embedding_in_split": "account_for_embedding_in_pipeline_split",
    "loss_in_split": "account_for_loss_in_pipeline_split",
}
"""Layout's field → the trainer's, which older trainers lack."""


def overrides(layout: Layout) -> dict[str, Any]:
    """Options of `parallel` and `train` that make a run use the layout: `{"parallel.tensor_model_…": 2, …}`."""
    found: dict[str, Any] = {
        "parallel.tensor_model_parallel_size": layout.tp,
        "parallel.sequence_parallel": layout.sp,
        "parallel.pipeline_model_parallel_size": layout.pp,
        "parallel.virtual_pipeline_model_parallel_size": layout.vpp,
        "parallel.overlap_p2p_comm": layout.vpp is not None,
        "train.micro_batch_size": layout.micro_batch_size,
    }
    full = layout.recompute == "full"
    values = {
        "cp": layout.cp,
        "recompute": None if layout.recompute == "none" else layout.recompute,
        "recompute_method": layout.recompute_method if full else None,
        "recompute_num_layers": layout.recompute_num_layers if full else None,
        "embedding_in_split": layout.embedding_in_split,
        "loss_in_split": layout.loss_in_split,
    }
    return found | {f"parallel.{field}": values[name] for name, field in _OPTIONAL.items() if field in TRAINER_HAS}


def configured(config: Config, layout: Layout) -> Config:
    """The configuration with that layout."""
    sections: dict[str, dict[str, Any]] = {"parallel": {}, "train": {}}
    for name, value in overrides(layout).items():
        section, field = name.split(".")
        sections[section][field] = value
    return dataclasses.replace(
        config,
        parallel=dataclasses.replace(config.parallel, **sections["parallel"]),
        train=dataclasses.replace(config.train, **sections["train"]),
    )
