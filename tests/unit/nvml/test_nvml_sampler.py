"""The sampling thread: what it sums up, over the real binding and with GPUs that a test moves."""

import json
import threading

import fake_nvml

from aixmeg.nvml.device import Reading
from aixmeg.nvml.sampler import Sampler

NOTHING = {
    "utilization": None, "memory_used": None, "power": None, "temperature": None, "sm_clock": None, "throttles": (),
    "ecc_corrected": None, "ecc_uncorrected": None, "energy": None,
}  # fmt: skip


class Gpu:
    """Gives prepared readings, the last one for ever."""

    def __init__(self, *readings):
        self.readings = [Reading(**NOTHING | reading) for reading in readings]

    def read(self):
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


def test_a_record_through_the_real_binding(tmp_path):
    """The thread reads by itself, and energy is the counter's difference."""
    values = tmp_path / "gpus"
    fake_nvml.write_gpus(values, fake_nvml.SOUND)
    code = f"""
import json, time
import fake_nvml
from pathlib import Path
from aixmeg.nvml import open_nvml
from aixmeg.nvml.sampler import Sampler
with open_nvml() as nvml, Sampler(nvml.gpus[0], interval=0.01) as sampler:
    while len(sampler._window.readings) < 3: time.sleep(0.01)
    hot = {{"millijoules": 5_321_000, "reasons": 0x44, "temperature": 88, "uncorrected": 2}}
    fake_nvml.write_gpus(Path({str(values)!r}), fake_nvml.SOUND | hot)
    count = len(sampler._window.readings)
    while len(sampler._window.readings) < count + 3: time.sleep(0.01)
    print(json.dumps(sampler.take()))
    print(json.dumps(sampler.take()))
"""
    code = f"import sys; sys.path.insert(0, {str(fake_nvml.__file__.rsplit('/', 1)[0])!r})\n" + code
    first, second = map(json.loads, fake_nvml.run(values, code).splitlines())
    assert first == {
        "gpu_utilization": 97.0, "gpu_memory_used": 4 << 20, "gpu_power": 650.0, "gpu_temperature": 88,
        "gpu_sm_clock": 1755.0, "gpu_ecc_corrected": 3, "gpu_ecc_uncorrected": 2, "gpu_energy": 321.0,
        "gpu_throttles": ["hardware thermal", "power cap"],
    }  # fmt: skip
    assert second["gpu_energy"] == 0.0


def test_without_a_counter_energy_is_power_times_time():
    now = [100.0]
    with Sampler(Gpu({"power": 500.0}), interval=3600, clock=lambda: now[0]) as sampler:
        now[0] += 8.0
        assert sampler.take()["gpu_energy"] == 4000.0
        now[0] += 2.0
        assert sampler.take()["gpu_energy"] == 1000.0


def test_a_counter_that_starts_anew_is_not_believed():
    readings = ({"energy": 900.0, "power": 100.0}, {"energy": 900.0, "power": 100.0}, {"energy": 5.0, "power": 100.0})
    now = [0.0]
    with Sampler(Gpu(*readings), interval=3600, clock=lambda: now[0]) as sampler:
        now[0] = 3.0
        assert sampler.take()["gpu_energy"] == 300.0


def test_without_a_gpu_there_is_nothing():
    with Sampler(None) as sampler:
        assert sampler.take() == {}


def test_a_gpu_that_says_nothing_leaves_no_fields():
    with Sampler(Gpu({}), interval=3600) as sampler:
        assert sampler.take() == {}


def test_a_driver_that_hangs_does_not_keep_the_process():
    asked, answers = threading.Event(), threading.Event()

    class Hanging(Gpu):
        def read(self):
            if not self.readings:
                asked.set()
                answers.wait()
            return self.readings.pop() if self.readings else Reading(**NOTHING)

    sampler = Sampler(Hanging({}), interval=0.01)
    with sampler:
        asked.wait()
    assert sampler._thread.is_alive()  # still inside the question, and we are here
    assert sampler._thread.daemon
    answers.set()
    sampler._thread.join()
