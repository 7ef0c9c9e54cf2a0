"""Each rule of the node's health, broken alone, through the real binding."""

import json

import fake_nvml
import pytest

CHECK = """
import json
from aixmeg.health.node import check_node
from aixmeg.nvml import open_nvml
with open_nvml() as nvml:
    print(json.dumps([str(problem) for problem in check_node(nvml, expected=EXPECTED)]))
"""


def problems(folder, *gpus, expected=None):
    values = folder / "gpus"
    fake_nvml.write_gpus(values, *gpus)
    return json.loads(fake_nvml.run(values, CHECK.replace("EXPECTED", repr(expected))))


def test_a_sound_node_has_none(tmp_path):
    assert problems(tmp_path, *[fake_nvml.SOUND] * 8, expected=8) == []


def test_a_node_that_tells_nothing_has_none(tmp_path):
    assert problems(tmp_path, {}, {}) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uncorrected": 2}, "GPU 1: 2 uncorrected memory errors since the driver was loaded; reset the GPU"),
        ({"failed": 1, "pending": 1}, "GPU 1: a memory row could not be remapped; replace the GPU"),
        ({"pending": 1}, "GPU 1: memory rows wait to be remapped; reset the GPU"),
        ({"width": 8}, "GPU 1: 8 of 16 PCIe lanes are in use; reseat"),
        ({"links": 0x3FFF7}, "GPU 1: NVLinks 3 are down, and up on the node's other GPUs; reset"),
        ({"reasons": 0x4C}, "GPU 1: clocks are held down by hardware slowdown, hardware thermal; check cooling"),
        ({"memory": 20 << 30}, "GPU 1: 20.0 GiB are in use before the job starts; end the process"),
    ],
)
def test_each_rule_alone(tmp_path, change, said):
    sound = fake_nvml.SOUND
    found = problems(tmp_path, sound, sound | change, sound, sound)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_a_link_that_few_have_is_not_missed(tmp_path):
    """Two GPUs joined by a bridge beside two that are not."""
    bridged, single = fake_nvml.SOUND | {"links": 0xF}, fake_nvml.SOUND | {"links": 0}
    assert problems(tmp_path, bridged, bridged, single, single) == []


def test_a_missing_gpu_is_counted(tmp_path):
    found = problems(tmp_path, fake_nvml.SOUND, fake_nvml.SOUND | {"lost": 1}, expected=2)
    assert len(found) == 1
    assert found[0].startswith("node: 1 GPUs answer, 2 are expected; look for Xid 79")
