"""The whole configuration: one YAML file describes a run from the corpus to the checkpoint."""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aixmeg.config.checkpoint import CheckpointConfig
from aixmeg.config.corpus import CorpusConfig
from aixmeg.config.data import DataConfig
from aixmeg.config.health import HealthConfig
from aixmeg.config.logging import LoggingConfig
from aixmeg.config.loss import LossConfig
from aixmeg.config.parallel import ParallelConfig
from aixmeg.config.sections import (
    ModelConfig,
    OptimizerConfig,
    PathsConfig,
    TokenizerConfig,
    TrainConfig,
)
from aixmeg.config.watch import WatchConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections; a subcommand reads the ones that it needs."""

    paths: PathsConfig = field(default_factory=PathsConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    health: HealthConfig = field(default_factory=HealthConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)


def sections(config: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """`config` and every section inside it, with its path: "" , "corpus", "corpus.near" …"""
    yield path, config
    for name in _names(type(config)):
        value = getattr(config, name)
        if hasattr(value, "__dataclass_fields__"):
            yield from sections(value, f"{path}.{name}" if path else name)


@functools.cache  # a search of layouts checks tens of thousands of configurations
def _names(kind: type) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(kind))
