"""The corpus section: what is read, and one sub-section per step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
from aixmeg.config.corpus.scrub import ScrubConfig
from aixmeg.config.corpus.sources import SourcesConfig


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """Which source files are read and which are kept."""

    sources: tuple[Path, ...] = ()
    """Folders whose sub-folders are repositories; empty means this machine's own source code."""
    languages: tuple[str, ...] = ()
    """Languages to keep, by the names in aixmeg/languages; empty means every language with a grammar."""
    min_file_bytes: int = 64
    """Shorter files are dropped as `too_small`."""
    max_file_bytes: int = 1_000_000
    """Longer files are dropped as `too_large` without being read."""
    max_repository_bytes: int = 0
    """Budget per repository, first files in path order kept; 0 disables it."""
    max_error_share: float = 0.05
    """Share of a file's bytes inside syntax-error nodes above which it is dropped; 1.0 disables the filter."""
    error_share_of: dict[str, float] = field(default_factory=dict)
    """The same for single languages, by name: {c: 0.1}."""
    workers: int = 0
    """Processes; 0 means one per core. The output does not depend on it."""
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)
    """Processes here, MPI ranks, or SLURM job arrays."""
    reading: SourcesConfig = field(default_factory=SourcesConfig)
    """How archives, JSON lines and Parquet files are read."""
    licence: LicenceConfig = field(default_factory=LicenceConfig)
    """Which licences are kept."""
    rank: RankConfig = field(default_factory=RankConfig)
    """Repository ranking by stars, commits and tests."""
    generated: GeneratedConfig = field(default_factory=GeneratedConfig)
    """Generated, minified, vendored and data-like files."""
    near: NearConfig = field(default_factory=NearConfig)
    """Near-duplicate files and repositories."""
    decontaminate: DecontaminateConfig = field(default_factory=DecontaminateConfig)
    """Overlap with evaluation sets."""
    scrub: ScrubConfig = field(default_factory=ScrubConfig)
    """Secrets and personal data."""
    commented: CommentedConfig = field(default_factory=CommentedConfig)
    """Commented-out code."""
    defects: DefectsConfig = field(default_factory=DefectsConfig)
    """Bugs and vulnerabilities found by static analysis."""
    order: OrderConfig = field(default_factory=OrderConfig)
    """Order of the files in a repository."""
    prose: ProseConfig = field(default_factory=ProseConfig)
    """Natural-language documents."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        for language, share in self.error_share_of.items():
            if not 0.0 <= share <= 1.0:
                yield f"{where}.error_share_of.{language}={share} must be between 0 and 1"
