"""What a training tells of itself beside the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


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

    def problems(self, path: str) -> Iterator[str]:
        """Every broken rule of this section, which is called `path`."""
        if self.peak_tflops is not None and not self.peak_tflops > 0:
            yield f"{path}.peak_tflops={self.peak_tflops} must be positive, or null"
        if self.telemetry_interval < 0:
            yield f"{path}.telemetry_interval={self.telemetry_interval} must be zero or more"
