"""Telemetry of one GPU, sampled by a thread of its own: training never waits for NVML."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from aixmeg.nvml.device import Gpu, Reading


@dataclass
class _Window:
    """Readings since the previous record."""

    started: float
    readings: list[Reading] = field(default_factory=list)


class Sampler:
    """Reads a GPU every `interval` seconds while it is open; `take` sums up what came since the last time.

    `with Sampler(gpu) as sampler: … record |= sampler.take()`. Without a GPU nothing is read and `take` is empty.

    Args:
        gpu: of this process, or None.
        interval: seconds.
        clock: seconds; a test's own.
    """

    def __init__(self, gpu: Gpu | None, *, interval: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._gpu, self._interval, self._clock = gpu, interval, clock
        self._lock, self._end = threading.Lock(), threading.Event()
        self._window = _Window(clock())
        self._energy: float | None = None
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)

    def __enter__(self) -> Sampler:
        if self._gpu is not None:
            self._energy = self._gpu.read().energy
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._gpu is not None:
            self._thread.join(timeout=self._interval)  # a driver that hangs does not keep the process

    def take(self) -> dict[str, float | int | list[str]]:
        """Fields of a metrics record, over the readings since the previous call; what the GPU cannot say is left out.

        Returns:
            gpu_utilization (mean percent), gpu_memory_used (largest, bytes), gpu_power (mean watts), gpu_temperature
            (largest, degrees Celsius), gpu_sm_clock (mean MHz), gpu_ecc_corrected and gpu_ecc_uncorrected (since the
            driver was loaded), gpu_energy (joules since the previous call), gpu_throttles (reasons, where there are).
        """
        if self._gpu is None:
            return {}
        now = self._clock()
        with self._lock:
            window, self._window = self._window, _Window(now)
        readings = window.readings or [self._gpu.read()]
        fields: dict[str, float | int | list[str]] = {}
        for name, fold in (("utilization", _mean), ("memory_used", max), ("power", _mean), ("temperature", max),
                           ("sm_clock", _mean), ("ecc_corrected", max), ("ecc_uncorrected", max)):  # fmt: skip
            values = [value for reading in readings if (value := getattr(reading, name)) is not None]
            if values:
                fields[f"gpu_{name}"] = fold(values)
        energy = self._spent(readings, now - window.started)
        if energy is not None:
            fields["gpu_energy"] = round(energy, 1)
        if throttles := sorted({name for reading in readings for name in reading.throttles}):
            fields["gpu_throttles"] = throttles
        return fields

    def _spent(self, readings: list[Reading], seconds: float) -> float | None:
        """Joules: by the GPU's own counter, or mean power times time where it has none."""
        assert self._gpu is not None
        before, self._energy = self._energy, self._gpu.read().energy
        if before is not None and self._energy is not None and self._energy >= before:  # a reset starts it anew
            return self._energy - before
        watts = [reading.power for reading in readings if reading.power is not None]
        return _mean(watts) * seconds if watts else None

    def _run(self) -> None:
        assert self._gpu is not None
        while not self._end.wait(self._interval):
            reading = self._gpu.read()
            with self._lock:
                self._window.readings.append(reading)


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 1)
