"""Tests that need a GPU and the CUDA kernels; elsewhere the CPU op and the emulator test the same mathematics."""

import pytest
import torch


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if "/gpu/" in item.path.as_posix():
            item.add_marker(pytest.mark.skip(reason="no GPU here"))


@pytest.fixture
def device():
    return torch.device("cuda")
