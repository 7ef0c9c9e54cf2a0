"""What a training tells of itself beside the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LoggingConfig:
    """Norms and speed in the records of a training; `train.log_interval` says how often one is written."""

    parameter_norms: bool = True
    """Norms of the weights by group in every record. With parallel.overlap_param_gather they wait for the weights, so
    that the gather of that step hides behind nothing: raise train.log_interval there, or set this to false."""
    peak_tflops: float | None = None
    """TFLOP/s of one device that MFU is a share of; null takes the datasheet's dense BF16 figure of a known GPU, and
    leaves MFU out elsewhere."""

    telemetry_interval: float = 5.0
    """Seconds between two readings of the rank's GPU (NVML); 0 reads nothing."""
    profile_steps: tuple[int, int] | None = None
    """First and last step of a profile, [10, 12] for instance, written to RUN/profiles; null makes none. Also
    `aixmeg train --profile FIRST-LAST`."""
    profile_ranks: tuple[int, ...] = (0,)
    """Ranks that are profiled."""
    wandb_project: str | None = None
    """Weights & Biases project to send the metrics to, beside metrics.jsonl and TensorBoard; null sends nothing."""
    wandb_mode: Literal["online", "offline"] = "online"
    """offline writes to RUN/wandb, for `wandb sync` from a machine with network."""

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        if self.peak_tflops is not None and not self.peak_tflops > 0:
            yield f"{path}.peak_tflops={self.peak_tflops} must be positive, or null"
        if self.telemetry_interval < 0:
            yield f"{path}.telemetry_interval={self.telemetry_interval} must be zero or more"
        if self.profile_steps is not None and not 1 <= self.profile_steps[0] <= self.profile_steps[1]:
            yield f"{path}.profile_steps={list(self.profile_steps)} must be [first, last] with 1 <= first <= last"
        if any(rank < 0 for rank in self.profile_ranks):
            yield f"{path}.profile_ranks={list(self.profile_ranks)} must be ranks, 0 or more"
        if self.wandb_project is not None and not self.wandb_project:
            yield f"{path}.wandb_project is empty: name a project, or set null"
