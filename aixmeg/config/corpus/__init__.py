"""Configuration of the corpus: one file per step."""

from aixmeg.config.corpus.commented import CommentedConfig
from aixmeg.config.corpus.decontaminate import DecontaminateConfig
from aixmeg.config.corpus.defects import DefectsConfig
from aixmeg.config.corpus.executor import ExecutorConfig
from aixmeg.config.corpus.generated import GeneratedConfig
from aixmeg.config.corpus.licence import LicenceConfig
from aixmeg.config.corpus.near import NearConfig
from aixmeg.config.corpus.order import OrderConfig
from aixmeg.config.corpus.prose import ProseConfig
from aixmeg.config.corpus.rank import RankConfig
from aixmeg.config.corpus.root import CorpusConfig
from aixmeg.config.corpus.scrub import ScrubConfig
from aixmeg.config.corpus.sources import SourcesConfig

__all__ = [
    "CommentedConfig",
    "CorpusConfig",
    "DecontaminateConfig",
    "DefectsConfig",
    "ExecutorConfig",
    "GeneratedConfig",
    "LicenceConfig",
    "NearConfig",
    "OrderConfig",
    "ProseConfig",
    "RankConfig",
    "ScrubConfig",
    "SourcesConfig",
]
