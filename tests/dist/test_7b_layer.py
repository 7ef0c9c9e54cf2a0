"""One layer of the real 7B (4096 wide, FFN 14464, 32 heads, 8 groups) against transformers' layer, forward and
backward, on two tensor ranks with sequence parallelism."""

from launch import run_function
from layer_7b_worker import compare

TOLERANCE = 2e-5
"""Of the largest magnitude: fp32 sums of up to 14,464 terms in another order (6e-8 x sqrt(14464) = 7e-6), through two
blocks one behind the other."""


def test_a_real_layer_on_tp2_with_sp_is_transformers_layer():
    found, _ = run_function(compare, 2, timeout=600)
    assert len(found) == 8
    assert {name: error for name, error in found.items() if not error < TOLERANCE} == {}
