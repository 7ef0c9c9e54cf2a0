"""The linears for processors without bf16 instructions: two tensor ranks against one product in float64."""

import pytest
from launch import run_function
from linear_worker import data, products


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("sequence_parallel", [False, True])
def test_two_ranks_equal_the_whole_product(sequence_parallel, accumulate):
    x, weight, dy = (tensor.double() for tensor in data())
    rows, grad = x.flatten(0, 1), dy.flatten(0, 1)
    exact = {"y": (rows @ weight.t()).view(dy.shape), "dx": (grad @ weight).view(x.shape), "dw": grad.t() @ rows}
    for found in run_function(products, 2, sequence_parallel, accumulate):
        for kind, tensors in found.items():
            for name, value in tensors.items():
                # Summands of the ranks are rounded to bf16, 2^-9 each, and so is their sum; a main_grad is float32.
                size = exact[name].abs().max()
                bound = 1e-5 if name == "dw" and accumulate else 3 * 2.0**-9
                assert (value.double() - exact[name]).abs().max() <= bound * size, f"{kind} {name}"
