"""Training on a GPU with kernels that give the same bits every time, as those of CPUs do anyway.

Of what a step runs on a GPU, the backward pass of FlashAttention adds in the order in which blocks end, unless torch is
told to be strict (only warned, torch leaves it so); Transformer Engine's attention has a variable of its own. The
kernels of csrc/ add in one order always, and NCCL does on the same ranks.
"""

from __future__ import annotations

import os
from typing import Final

import torch

from aixmeg.config import Config

_WORKSPACES: Final = (":4096:8", ":16:8")
"""Values of CUBLAS_WORKSPACE_CONFIG with which cuBLAS repeats itself; torch demands one of them."""


def set_deterministic(config: Config, device: torch.device) -> None:
    """Have this process compute as `train.deterministic_mode` says; before its first kernel."""
    if device.type != "cuda" or not config.train.deterministic_mode:
        return
    if os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in _WORKSPACES:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = _WORKSPACES[0]
    os.environ["NVTE_ALLOW_NONDETERMINISTIC_ALGO"] = "0"
    torch.use_deterministic_algorithms(True)
    # A guard for code that reads such memory, and a slow one. (torch makes the module's attribute when it is loaded.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
