"""The module that megatron-core's linear layers import for gradient accumulation fusion."""

import importlib

import torch

import aixmeg.parallel  # noqa: F401 - prepares the process before megatron.core
from aixmeg.parallel import weight_gradient


def test_megatron_core_finds_ours_under_apex_s_name():
    from megatron.core.tensor_parallel import layers

    assert weight_gradient.install()
    module = importlib.import_module("fused_weight_gradient_mlp_cuda")
    assert layers.fused_weight_gradient_mlp_cuda is module
    assert layers._grad_accum_fusion_available
    x, dy = torch.randn(6, 4, dtype=torch.bfloat16), torch.randn(6, 3, dtype=torch.bfloat16)
    for function, dtype in ((module.wgrad_gemm_accum_fp32, torch.float32), (module.wgrad_gemm_accum_fp16, x.dtype)):
        main_grad = torch.ones(3, 4, dtype=dtype)
        function(x, dy, main_grad)
        expected = 1 + dy.double().t() @ x.double()
        torch.testing.assert_close(main_grad.double(), expected, rtol=2.0**-7, atol=2.0**-6)
