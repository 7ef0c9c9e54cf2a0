"""On a GPU strictly repeatable kernels; on a CPU nothing changes, where all kernels are."""

import os
from dataclasses import replace

import pytest
import torch

from aixmeg.config import PRESETS, Config, TrainConfig
from aixmeg.model.builder import transformer_config
from aixmeg.train.determinism import set_deterministic

CUDA = torch.device("cuda", 0)
EXACT = Config(model=replace(PRESETS["tiny"]), train=TrainConfig(deterministic_mode=True))


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """What is global in the process is as before afterwards."""
    for name in ("CUBLAS_WORKSPACE_CONFIG", "NVTE_ALLOW_NONDETERMINISTIC_ALGO"):
        monkeypatch.delenv(name, raising=False)
    filled = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled


def test_torch_is_strict_and_does_not_only_warn():
    """Warned only, torch's FlashAttention goes on as it does without (attention_backward.cu)."""
    set_deterministic(EXACT, CUDA)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert os.environ["NVTE_ALLOW_NONDETERMINISTIC_ALGO"] == "0"  # else megatron-core refuses TE's attention


@pytest.mark.parametrize(("was", "now"), [(":16:8", ":16:8"), (":0:0", ":4096:8")])
def test_a_workspace_that_torch_accepts_is_kept(monkeypatch, was, now):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", was)
    set_deterministic(EXACT, CUDA)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == now


@pytest.mark.parametrize(("config", "device"), [(EXACT, torch.device("cpu")), (Config(), CUDA)], ids=["CPU", "off"])
def test_else_nothing_changes(config, device):
    set_deterministic(config, device)
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_megatron_core_knows_it_on_gpus_alone():
    assert transformer_config(EXACT, device=CUDA).deterministic_mode
    assert not transformer_config(EXACT, device="cpu").deterministic_mode  # the embedding would add in another order
    assert not transformer_config(Config(model=EXACT.model), device=CUDA).deterministic_mode
