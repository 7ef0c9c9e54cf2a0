"""GPUs through NVML's own binding (nvidia-ml-py): one reading, and what tells a sound GPU from a bad one.

Every question may fail by itself: consumer cards have no ECC, old drivers lack functions, containers hide counters.
An answer that cannot be had is None, and nothing here raises. NVML counts all GPUs of the node, whatever
CUDA_VISIBLE_DEVICES says; a process finds its own by UUID.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from aixmeg.errors import UserError

T = TypeVar("T")

THROTTLES: Final = {
    0x004: "power cap",
    0x008: "hardware slowdown",
    0x020: "software thermal",
    0x040: "hardware thermal",
    0x080: "power brake",
}
"""Reasons (bits of nvmlDeviceGetCurrentClocksEventReasons) that clocks are below what they could be; idleness, sync
boost and clocks that somebody set are no faults and left out."""
FAULTS: Final = frozenset({"hardware slowdown", "hardware thermal", "power brake"})
"""Reasons that a GPU which computes as it should never has."""
_LINKS: Final = 18
"""NVLinks of the largest GPU so far."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What a GPU does at one moment; None where it cannot say."""

    utilization: int | None
    """Percent of the time in which a kernel ran."""
    memory_used: int | None
    """Bytes, of all processes."""
    power: float | None
    """Watts."""
    temperature: int | None
    """Degrees Celsius of the chip."""
    sm_clock: int | None
    """MHz."""
    throttles: tuple[str, ...]
    """Why the clocks are low, of `THROTTLES`."""
    ecc_corrected: int | None
    """Memory errors since the driver was loaded."""
    ecc_uncorrected: int | None
    """Memory errors that were not corrected, since the driver was loaded."""
    energy: float | None
    """Joules since the driver was loaded."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What stays as it is while a GPU is sound; None where it cannot say."""

    memory_total: int | None
    """Bytes."""
    pcie_width: int | None
    """Lanes in use."""
    pcie_width_max: int | None
    """Lanes of the GPU and its slot."""
    active_links: frozenset[int]
    """Numbers of the NVLinks that are up."""
    rows_pending: bool | None
    """Memory rows wait for a reset to be remapped."""
    remapping_failed: bool | None
    """A memory row could not be remapped: the GPU is to be replaced."""


class Gpu:
    """One GPU of the node.

    Args:
        nvml: the binding.
        handle: of the device.
        index: NVML's number, as nvidia-smi shows it.
    """

    def __init__(self, nvml: Any, handle: Any, index: int) -> None:
        self._nvml, self._handle, self.index = nvml, handle, index
        self.name: str = self._ask(nvml.nvmlDeviceGetName) or "GPU"
        self.uuid: str = self._ask(nvml.nvmlDeviceGetUUID) or ""

    def read(self) -> Reading:
        """What it does now."""
        nvml = self._nvml
        used = self._ask(nvml.nvmlDeviceGetUtilizationRates)
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        power = self._ask(nvml.nvmlDeviceGetPowerUsage)
        energy = self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption)
        reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksEventReasons)
        if reasons is None:  # its name before driver 535
            reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksThrottleReasons) or 0
        return Reading(
            utilization=None if used is None else int(used.gpu),
            memory_used=None if memory is None else int(memory.used),
            power=None if power is None else power / 1000,
            temperature=self._ask(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
            sm_clock=self._ask(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
            throttles=tuple(name for bit, name in THROTTLES.items() if reasons & bit),
            ecc_corrected=self._errors(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED),
            ecc_uncorrected=self._errors(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
            energy=None if energy is None else energy / 1000,
        )

    def condition(self) -> Condition:
        """What the health check looks at besides a reading."""
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        rows = self._ask(nvml.nvmlDeviceGetRemappedRows)
        return Condition(
            memory_total=None if memory is None else int(memory.total),
            pcie_width=self._ask(nvml.nvmlDeviceGetCurrPcieLinkWidth),
            pcie_width_max=self._ask(nvml.nvmlDeviceGetMaxPcieLinkWidth),
            active_links=frozenset(link for link in range(_LINKS) if self._ask(nvml.nvmlDeviceGetNvLinkState, link)),
            rows_pending=None if rows is None else bool(rows[2]),
            remapping_failed=None if rows is None else bool(rows[3]),
        )

    def _errors(self, kind: int) -> int | None:
        return self._ask(self._nvml.nvmlDeviceGetTotalEccErrors, kind, self._nvml.NVML_VOLATILE_ECC)

    def _ask(self, question: Callable[..., T], *arguments: Any) -> T | None:
        try:
            return question(self._handle, *arguments)
        except self._nvml.NVMLError:
            return None


@dataclass(frozen=True)
class Nvml:
    """NVML as it was found here."""

    gpus: tuple[Gpu, ...]
    """Of the node, in NVML's order."""
    driver: str
    """Release of the driver; empty where there is none."""
    absent: str = ""
    """Why there is nothing to ask; empty where there is."""

    def of(self, uuid: str) -> Gpu | None:
        """The GPU with this UUID, with or without the `GPU-` in front, which torch leaves out."""
        return next((gpu for gpu in self.gpus if gpu.uuid.removeprefix("GPU-") == uuid.removeprefix("GPU-")), None)


@contextlib.contextmanager
def open_nvml() -> Iterator[Nvml]:
    """NVML for as long as the block lasts; without a driver or the binding it has no GPUs and says why.

    Raises:
        UserError: the driver is there and its library refuses to start: the node is broken, not without GPUs.
    """
    try:
        import pynvml
    except ImportError:
        yield Nvml((), "", "nvidia-ml-py is not installed: pip install 'aixmeg[gpu]'")
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if getattr(error, "value", None) == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            yield Nvml((), "", "no NVIDIA driver here")
            return
        raise UserError(
            f"the NVIDIA driver does not answer ({error}); look for Xid errors in `dmesg`, then reboot the node or "
            "exclude it"
        ) from error
    try:
        gpus = [_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
        yield Nvml(tuple(gpu for gpu in gpus if gpu is not None), _driver(pynvml))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int) -> Gpu | None:
    """None where a GPU is counted and cannot be opened, as one that fell off the bus."""
    try:
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(index), index)
    except nvml.NVMLError:
        return None


def _driver(nvml: Any) -> str:
    try:
        return nvml.nvmlSystemGetDriverVersion()
    except nvml.NVMLError:
        return "unknown"
