"""Readings through the real binding (nvidia-ml-py) and a library that is not NVIDIA's."""

import json

import fake_nvml
import pytest

from aixmeg.nvml import open_nvml

READ = """
import dataclasses, json
from aixmeg.nvml import open_nvml
with open_nvml() as nvml:
    print(json.dumps([nvml.driver, nvml.absent, [
        [gpu.index, gpu.name, gpu.uuid, dataclasses.asdict(gpu.read()),
         dataclasses.asdict(gpu.condition()) | {"active_links": sorted(gpu.condition().active_links)}]
        for gpu in nvml.gpus]]))
    own = nvml.of("0000-1")
    assert own is None or own.uuid == "GPU-0000-1"
"""


@pytest.fixture
def values(tmp_path):
    return tmp_path / "gpus"


def test_a_reading_is_in_the_units_it_says(values):
    fake_nvml.write_gpus(values, fake_nvml.SOUND, fake_nvml.SOUND | {"links": 0x5, "pending": 1})
    driver, absent, (first, second) = json.loads(fake_nvml.run(values, READ))
    assert (driver, absent) == ("570.86", "")
    assert first[:3] == [0, "NVIDIA H100 80GB HBM3", "GPU-0000-0"]
    assert first[3] == {
        "utilization": 97, "memory_used": 4 << 20, "power": 650.0, "temperature": 61, "sm_clock": 1755,
        "throttles": ["power cap"], "ecc_corrected": 3, "ecc_uncorrected": 0, "energy": 5000.0,
    }  # fmt: skip
    assert first[4] == {
        "memory_total": 80 << 30, "pcie_width": 16, "pcie_width_max": 16, "active_links": list(range(18)),
        "rows_pending": False, "remapping_failed": False,
    }  # fmt: skip
    assert second[4]["active_links"] == [0, 2]
    assert second[4]["rows_pending"] is True


def test_what_a_gpu_cannot_say_is_none(values):
    fake_nvml.write_gpus(values, {})
    _, _, ((_, _, _, reading, condition),) = json.loads(fake_nvml.run(values, READ))
    assert reading.pop("throttles") == []
    assert set(reading.values()) == {None}
    assert condition.pop("active_links") == []
    assert set(condition.values()) == {None}


def test_a_lost_gpu_is_left_out(values):
    fake_nvml.write_gpus(values, fake_nvml.SOUND, fake_nvml.SOUND | {"lost": 1}, fake_nvml.SOUND)
    _, _, gpus = json.loads(fake_nvml.run(values, READ))
    assert [gpu[0] for gpu in gpus] == [0, 2]


def test_a_driver_that_does_not_answer_is_an_error(values):
    fake_nvml.write_gpus(values, fake_nvml.SOUND, broken=1)
    code = "from aixmeg.nvml import open_nvml\ntry:\n with open_nvml(): pass\nexcept Exception as e: print(repr(e))"
    assert "UserError" in (said := fake_nvml.run(values, code))
    assert "Driver Not Loaded" in said


def test_nothing_breaks_without_a_driver():
    with open_nvml() as nvml:  # this machine's own; a machine with a GPU has no reason to give
        assert bool(nvml.gpus) != bool(nvml.absent)


def test_nothing_breaks_without_the_binding(values):
    code = "import sys; sys.modules['pynvml'] = None\n" + READ
    assert json.loads(fake_nvml.run(values, code)) == [
        "", "nvidia-ml-py is not installed: pip install 'aixmeg[gpu]'", [],
    ]  # fmt: skip
