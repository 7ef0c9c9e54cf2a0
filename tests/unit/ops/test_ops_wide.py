"""When a bf16 product is computed in float32."""

import pytest
import torch

from aixmeg.ops import wide

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(
    ("in_bf16", "dtype", "device", "slow"),
    [
        (False, torch.bfloat16, CPU, True),
        (True, torch.bfloat16, CPU, False),
        (False, torch.float32, CPU, False),
        (False, torch.bfloat16, META, False),  # a GPU has instructions for it, whatever the processor has
    ],
)
def test_only_bf16_without_instructions_is_widened(monkeypatch, in_bf16, dtype, device, slow):
    monkeypatch.setattr(wide, "multiplies_bf16", lambda: in_bf16)
    operand = torch.ones(2, 2, dtype=dtype, device=device)
    assert wide.is_slow(operand) == slow
    assert wide.widened(operand).dtype == (torch.float32 if slow else dtype)
    assert slow or wide.widened(operand) is operand
