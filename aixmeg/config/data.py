"""The data section: examples from source files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from aixmeg.config.packing import PackingConfig
from aixmeg.config.sfim import SfimConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Training examples from source files: objectives, forms, held-out split."""

    ntp_share: float = 0.3
    """Share of files trained with plain next-token prediction."""
    ntp_repository_share: float = 0.0
    """Share of repositories all of whose files are NTP, as a part of ntp_share; in the others each file draws for
    itself, so that ntp_share of all files come out as NTP; 0 makes every file draw."""
    fim_share: float = 0.0
    """Share of files whose middle is a random span; the rest, 1 - ntp - fim, is structured FIM."""
    spm_share: float = 0.5
    """Share of infilling examples in suffix-prefix-middle order; the rest is prefix-suffix-middle."""
    valid_share: float = 0.02
    """Share of repositories held out for validation, by a hash of their names; more until they hold half this share of
    the tokens; 0 disables the split."""
    max_middle_bytes: int = 4096
    """Longest middle of an infilling example."""
    seed: int = 1234
    """With the epoch and the document it decides every choice."""
    epoch: int = 0
    """Another epoch draws other middles from the same files."""
    epochs: int = 1
    """Builds with other middles, for epoch, epoch + 1 …, that training takes turns with; 1 repeats the same middles."""
    workers: int = 0
    """Processes; 0 means one per core. The output does not depend on it."""
    sfim: SfimConfig = field(default_factory=SfimConfig)
    """Structured fill-in-the-middle: strategies and sizes."""
    packing: PackingConfig = field(default_factory=PackingConfig)
    """How examples fill training samples."""

    def problems(self, where: str) -> Iterator[str]:
        """Sentences on broken rules."""
        if self.epochs < 1:
            yield f"{where}.epochs={self.epochs} must be 1 or more"
        if not 0.0 <= self.ntp_repository_share <= self.ntp_share:
            yield (
                f"{where}.ntp_repository_share={self.ntp_repository_share} must be between 0 and {where}.ntp_share="
                f"{self.ntp_share}, which it is a part of; lower it, or raise ntp_share"
            )
