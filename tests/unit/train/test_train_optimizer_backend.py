"""Which optimizer is chosen, and that megatron-core's names then point at it."""

import importlib.util

import pytest
import torch
from megatron.core import optimizer as core
from megatron.core.optimizer import clip_grads, distrib_optimizer
from megatron.core.optimizer import optimizer as wrappers

import aixmeg.parallel  # noqa: F401 - prepares the process before megatron.core
from aixmeg.errors import UserError
from aixmeg.train import fused_adam, optimizer_backend


@pytest.fixture(autouse=True)
def restored():
    before = optimizer_backend.installed()
    yield
    optimizer_backend.install(before)


@pytest.fixture
def packages(monkeypatch):
    """Pretend that these packages are installed."""

    def pretend(*names):
        real = importlib.util.find_spec

        def find_spec(name, *arguments):
            if name in ("transformer_engine", "amp_C"):
                return object() if name in names else None
            return real(name, *arguments)

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    return pretend


@pytest.mark.parametrize(
    ("there", "asked", "chosen"),
    [
        ((), "auto", "aixmeg"),
        ((), "torch", "torch"),
        (("amp_C",), "auto", "apex"),
        (("transformer_engine", "amp_C"), "auto", "te"),
        (("transformer_engine", "amp_C"), "apex", "apex"),
        (("transformer_engine", "amp_C"), "aixmeg", "aixmeg"),
    ],
)
def test_choice(packages, there, asked, chosen):
    packages(*there)
    assert optimizer_backend.resolve(asked) == chosen


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("te", "backend=te needs the package transformer_engine, which is not installed; install it"),
        ("apex", "backend=apex needs the package amp_C, which is not installed; build NVIDIA apex"),
        ("nvidia", "backend=nvidia is none of auto, aixmeg, apex, te, torch"),
    ],
)
def test_what_is_missing_is_said(packages, asked, message):
    packages()
    with pytest.raises(UserError, match=message):
        optimizer_backend.resolve(asked)


def test_a_package_that_does_not_import_is_no_silent_fallback(packages):
    packages("transformer_engine", "amp_C")
    with pytest.raises(UserError, match="megatron-core could not import its FusedAdam"):
        optimizer_backend.install("auto")
    with pytest.raises(UserError, match="apex does not import"):
        optimizer_backend.install("apex")


def test_ours_and_back():
    assert optimizer_backend.install("aixmeg") == optimizer_backend.installed() == "aixmeg"
    assert core.Adam is distrib_optimizer.Adam is fused_adam.FusedAdam
    assert not core.USING_PYTORCH_OPTIMIZER
    assert distrib_optimizer.HAVE_APEX_OR_TE
    assert clip_grads.l2_norm_impl is fused_adam.multi_tensor_l2norm
    assert wrappers.multi_tensor_scale_impl is clip_grads.multi_tensor_scale_impl is fused_adam.multi_tensor_scale
    assert optimizer_backend.install("torch") == optimizer_backend.installed() == "torch"
    assert core.USING_PYTORCH_OPTIMIZER
    assert not distrib_optimizer.HAVE_APEX_OR_TE
    assert clip_grads.l2_norm_impl.__module__ == wrappers.multi_tensor_applier.__module__ == "megatron.core.utils"


def test_clipping_goes_through_our_kernels():
    optimizer_backend.install("aixmeg")
    parameter = torch.nn.Parameter(torch.zeros(1000))
    parameter.grad = torch.full((1000,), 2.0)
    clip_grads.clip_grad_by_total_norm_fp32([parameter], 1.0, 2.0 * 1000**0.5)
    torch.testing.assert_close(torch.linalg.vector_norm(parameter.grad), torch.tensor(1.0))


def test_bf16_moments_need_our_kernels(monkeypatch):
    from aixmeg.config import Config, OptimizerConfig
    from aixmeg.train import optimizer

    monkeypatch.setattr(optimizer_backend, "install", lambda asked: "te")
    config = Config(optimizer=OptimizerConfig(exp_avg_sq_dtype="bf16"))
    with pytest.raises(UserError, match="exp_avg_sq_dtype=bf16 need optimizer.backend=aixmeg; it is te here"):
        optimizer.build_optimizer(config, [])
