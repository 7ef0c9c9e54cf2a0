"""The whole configuration: one YAML file describes a run from the corpus to the checkpoint."""

from dataclasses import dataclass, field

from aixmeg.config.sections import (
    CorpusConfig,
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    ParallelConfig,
    PathsConfig,
    TokenizerConfig,
    TrainConfig,
)


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
    train: TrainConfig = field(default_factory=TrainConfig)
