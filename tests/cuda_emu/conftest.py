import os

import pytest
import torch
from cuda_emulated import CSRC, HERE, KERNELS, EmulatedKernels, compile_emulated


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory):
    sources = [CSRC / "cuda" / f"{name}.cu" for name in KERNELS] + [HERE / "planted.cu", HERE / "emulator" / "seed.cpp"]
    return compile_emulated(sources, tmp_path_factory.mktemp("emulated") / "kernels.so", "-shared")


@pytest.fixture
def kernels(emulated_library, request):
    """Fresh inputs and a fresh schedule every run; the seed is in the failure's captured output."""
    seed = int(os.environ.get("AIXMEG_TEST_SEED") or int.from_bytes(os.urandom(3), "little"))
    print(f"AIXMEG_TEST_SEED={seed} repeats this run")
    torch.manual_seed(seed)
    return EmulatedKernels(emulated_library, seed)
