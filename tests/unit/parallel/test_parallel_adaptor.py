"""What megatron-core asks of torch.cuda resolves to the CPU; where CUDA is available nothing is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from megatron.core.tensor_parallel import random as tracker_module

from aixmeg.parallel import adaptor, quiet

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with CUDA the adaptor is a no-op: nothing to test")
ROOT = Path(adaptor.__file__).parents[2]


def python(program: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_devices_are_redirected():
    assert torch.cuda.current_device() == torch.device("cpu")
    for device in ("cuda", "cuda:3", torch.device("cuda", 1), torch.cuda.current_device()):
        assert torch.zeros(2, device=device).device.type == "cpu"
    tensor = torch.ones(3)
    assert tensor.cuda() is tensor
    torch.cuda.synchronize()


def test_other_devices_and_types_are_left_alone():
    assert torch.zeros(2, device="meta").device.type == "meta"
    assert torch.ones(2).type(torch.float64).dtype is torch.float64


@pytest.mark.parametrize(("dtype", "name"), [(torch.float32, "FloatTensor"), (torch.bfloat16, "BFloat16Tensor")])
def test_parameters_have_the_type_names_that_optimizers_accept(dtype, name):
    assert torch.zeros(1, dtype=dtype).type() == f"torch.cuda.{name}"


def test_generator_tracker_forks_the_cpu_generator():
    tracker = tracker_module.CudaRNGStatesTracker()
    torch.manual_seed(3)
    tracker.add("other", 11)
    before = torch.get_rng_state()
    with tracker.fork("other"):
        inside = torch.rand(4)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(inside, torch.rand(4, generator=torch.Generator().manual_seed(11)))


def test_megatron_core_may_be_imported_first(monkeypatch):
    monkeypatch.setattr(tracker_module, "_lazy_call", lambda function, **_: pytest.fail("queued for a GPU"))
    adaptor._use_cpu_generator()
    tracker_module._set_cuda_rng_state(torch.get_rng_state())


def test_sends_are_aliased_under_both_names():
    assert adaptor.sends_are_aliased()
    assert torch.distributed.isend is torch.distributed.distributed_c10d.isend


def test_a_second_install_changes_nothing():
    before = (torch.distributed.isend, torch.cuda.current_device)
    assert adaptor.install() is True
    assert before == (torch.distributed.isend, torch.cuda.current_device)


def test_no_op_where_cuda_is_available():
    out = python(
        "import torch\n"
        "names = [(m, n) for m in (torch.cuda, torch.cuda.random, torch.distributed, torch.Tensor) for n in dir(m)]\n"
        "torch.cuda.is_available = lambda: True\n"
        "before = {(m, n): getattr(m, n, None) for m, n in names if not n.startswith('__')}\n"
        "from aixmeg.parallel import adaptor\n"
        "assert adaptor.install() is False and not adaptor.sends_are_aliased()\n"
        "from torch.overrides import _get_current_function_mode_stack as stack\n"
        "assert stack() == [], stack()\n"
        "print([n for (m, n), value in before.items() if getattr(m, n, None) is not value])\n"
    )
    assert out.strip() == "[]"


def test_compiled_functions_still_compile_in_one_graph():
    def function(x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(3, device=x.device) + x.cos()

    x = torch.arange(3.0)
    torch.testing.assert_close(torch.compile(function, fullgraph=True, backend="eager")(x), x.cos())


def test_imports_are_quiet_and_other_warnings_remain():
    out = python(
        "import aixmeg.parallel, warnings\n"
        "import aixmeg.model.builder\n"
        "from megatron.core.optimizer import get_megatron_optimizer\n"
        "from megatron.core.tensor_parallel import random\n"
        "random._lazy_call(lambda: print('not queued for a GPU'))\n"
        "warnings.warn('a warning that matters')\n"
    )
    assert "not queued for a GPU" in out
    assert [line for line in out.splitlines() if "arning" in line] == [
        "<string>:6: UserWarning: a warning that matters"
    ]


def test_only_the_named_message_is_dropped_from_a_logger():
    dropped = quiet._without("harmless")
    import logging

    def record(text: str) -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "f", 1, text, None, None)

    assert not dropped.filter(record("a harmless remark"))
    assert dropped.filter(record("an error"))
