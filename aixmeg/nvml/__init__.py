"""What NVIDIA's management library (NVML) says of this node's GPUs: telemetry while training, health before it."""

from aixmeg.nvml.device import Gpu, Nvml, Reading, open_nvml

__all__ = ["Gpu", "Nvml", "Reading", "open_nvml"]
