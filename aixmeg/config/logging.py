"""What a training tells of itself beside the loss: where it goes, and how often it is measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Norms, speed, profiles and where they are shown; `train.log_interval` says how often a record is written."""

    parameter_norms: bool = True
    """Norms of the weights by group in every record. With parallel.overlap_param_gather they wait for the weights, so
    that the gather of that step hides behind nothing: raise train.log_interval there, or set this to false."""
    peak_tflops: float | None = None
    """TFLOP/s of one device that MFU is a share of; null takes the datasheet's dense BF16 figure of a known GPU, and
    leaves MFU out elsewhere."""
    tensorboard: bool = True
    """Mirror metrics.jsonl to RUN/tensorboard."""
    wandb_project: str | None = None
    """Project of Weights & Biases to mirror metrics.jsonl to, by the `wandb` package; null disables it."""
    profile_steps: str | None = None
    """Steps to profile, as FIRST:LAST, both included; traces for chrome://tracing or Perfetto go to RUN/profile. Null
    disables it."""
    profile_ranks: tuple[int, ...] = (0,)
    """Ranks that profile_steps concerns."""

    @property
    def profiled(self) -> range:
        """The steps of `profile_steps`; none where it is null."""
        if self.profile_steps is None or (match := _STEPS.fullmatch(self.profile_steps)) is None:
            return range(0)
        return range(int(match[1]), int(match[2]) + 1)

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        if self.peak_tflops is not None and self.peak_tflops <= 0:
            yield f"{path}.peak_tflops={self.peak_tflops} must be positive, or null"
        if self.profile_steps is not None and (not self.profiled or self.profiled.start < 1):
            yield f"{path}.profile_steps={self.profile_steps!r} must be FIRST:LAST with 1 <= FIRST <= LAST"
        if any(rank < 0 for rank in self.profile_ranks) or not self.profile_ranks:
            yield f"{path}.profile_ranks={list(self.profile_ranks)} must name ranks, counted from 0"


_STEPS = re.compile(r"(\d+):(\d+)")
