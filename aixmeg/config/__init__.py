"""Configuration: frozen dataclasses, YAML, cross-section rules. Imports no torch."""

from aixmeg.config.checkpoint import CheckpointConfig
from aixmeg.config.corpus import CorpusConfig
from aixmeg.config.data import DataConfig
from aixmeg.config.health import HealthConfig
from aixmeg.config.load import apply_overrides, check_tree, dump_config, load_config, read_yaml
from aixmeg.config.logging import LoggingConfig
from aixmeg.config.loss import LossConfig
from aixmeg.config.packing import PackingConfig
from aixmeg.config.parallel import ParallelConfig
from aixmeg.config.presets import PRESETS
from aixmeg.config.root import Config
from aixmeg.config.sections import (
    ModelConfig,
    OptimizerConfig,
    PathsConfig,
    TokenizerConfig,
    TrainConfig,
)
from aixmeg.config.validate import conflicts
from aixmeg.config.watch import WatchConfig

__all__ = [
    "PRESETS",
    "CheckpointConfig",
    "Config",
    "CorpusConfig",
    "DataConfig",
    "HealthConfig",
    "LoggingConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PackingConfig",
    "ParallelConfig",
    "PathsConfig",
    "TokenizerConfig",
    "TrainConfig",
    "WatchConfig",
    "apply_overrides",
    "check_tree",
    "conflicts",
    "dump_config",
    "load_config",
    "read_yaml",
]
