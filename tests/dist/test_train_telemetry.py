"""Energy over ranks, and what becomes of it in a record."""

import torch
from launch import run_function

from aixmeg.nvml.sampler import Sampler
from aixmeg.train.telemetry import open_telemetry, telemetry_fields


class Taken(Sampler):
    """Gives prepared fields."""

    def __init__(self, fields):
        super().__init__(None)
        self.fields = fields

    def take(self):
        return dict(self.fields)


def worker(fields_of_ranks):
    mine = Taken(fields_of_ranks[torch.distributed.get_rank()])
    return telemetry_fields(mine, tokens=1000.0, device=torch.device("cpu"))


def test_the_energy_of_all_ranks_by_their_tokens():
    fields = [{"gpu_energy": 300.0, "gpu_power": 600.0}, {"gpu_energy": 200.0}]
    assert run_function(worker, 2, fields) == [one | {"energy_per_token": 0.5} for one in fields]


def test_without_every_rank_s_energy_there_is_no_sum():
    fields = [{"gpu_energy": 300.0}, {"gpu_power": 10.0}]
    assert run_function(worker, 2, fields) == fields


def test_a_cpu_has_no_telemetry():
    with open_telemetry(torch.device("cpu"), interval=5.0) as sampler:
        assert sampler.take() == {}
