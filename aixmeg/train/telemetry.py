"""What this rank's GPU tells of itself while it trains, in the records of the training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from aixmeg.nvml import open_nvml
from aixmeg.nvml.sampler import Sampler


@contextlib.contextmanager
def open_telemetry(device: torch.device, *, interval: float) -> Iterator[Sampler]:
    """A sampler of the rank's GPU; of nothing on a CPU, without NVML, or with an interval of 0."""
    if device.type != "cuda" or interval <= 0:
        yield Sampler(None)
        return
    # NVML counts all GPUs of the node, whatever CUDA_VISIBLE_DEVICES leaves of them.
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    with open_nvml() as nvml, Sampler(nvml.of(uuid), interval=interval) as sampler:
        yield sampler


def telemetry_fields(sampler: Sampler, *, tokens: float, device: torch.device) -> dict[str, Any]:
    """Fields of a record, `Sampler.take`'s of this rank and of all ranks' energy; collective.

    Args:
        sampler: this rank's.
        tokens: trained on by all ranks since the previous record.
        device: where the ranks exchange their sums.

    Returns:
        `Sampler.take`'s, and energy_per_token: joules of all GPUs by `tokens`, left out where a rank cannot tell.
    """
    fields = sampler.take()
    energy = fields.get("gpu_energy")
    sums = torch.tensor(
        [energy if isinstance(energy, float) else 0.0, float(energy is not None)], dtype=torch.float64, device=device
    )
    dist.all_reduce(sums)
    total, telling = sums.tolist()
    if telling == dist.get_world_size() and tokens > 0:
        fields["energy_per_token"] = float(f"{total / tokens:.5g}")
    return fields
