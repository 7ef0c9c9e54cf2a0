"""What `make gpu-check` runs, as far as it runs without a GPU."""

import importlib.util
import json
import sys
import zipfile
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def load(path, name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for their module
    spec.loader.exec_module(module)
    return module


gpu_check = load("gpu_check.py", "gpu_check")
cases = load("benchmark/ops_gpu_cases.py", "ops_gpu_cases")
products = load("benchmark/ops_gpu_products.py", "ops_gpu_products")
gather = load("gather_wheels.py", "gather_wheels")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_both_sides_of_each_case_do_the_same(dtype):
    device, sizes = torch.device("cpu"), cases.Sizes.small(32)
    bound_by_arithmetic = [
        make(sizes, dtype, device) for make in (products.weight_gradient, products.linear_cross_entropy)
    ]
    assert [case.flops for case in bound_by_arithmetic] == [2 * 32 * 256 * 1808, 6 * 32 * 256 * 512]
    for case in (*(make() for make in cases.make_cases(sizes, dtype, device)), *bound_by_arithmetic):
        if case.name == "adamw":  # in place, each on its own parameters: tests/unit/ops/test_ops_optimizer.py
            continue
        ours, theirs = case.csrc(), case.eager()
        ours, theirs = (out if isinstance(out, tuple | list) else (out,) for out in (ours, theirs))
        assert case.bytes > 0
        for one, other in zip(ours, theirs, strict=False):
            # Both round to bf16 along the way, the eager side several times, and FP8 has three bits of mantissa.
            rough = 0.13 if one.element_size() == 1 else 0.05 if dtype == torch.bfloat16 else 1e-5
            exact = other.double().reshape(one.shape)
            assert (one.double() - exact).abs().max() <= rough * exact.abs().max(), case.name


def test_a_part_that_fails_or_takes_too_long_is_told(tmp_path):
    def part(code, limit=60.0):
        return gpu_check.run("x", [sys.executable, "-c", code], tmp_path, {}, limit)

    assert part("print(1)")["status"] == "ok"
    failed = part("print('why'); raise SystemExit(3)")
    assert (failed["status"], failed["tail"]) == ("exit 3", "why\n")
    slow = part("import time; print('begun', flush=True); time.sleep(60)", 6.0)
    assert slow["status"] == "stopped after 6 s"
    assert "begun" in slow["tail"]
    assert part("", 1.0)["status"] == "no time left"


def test_what_falls_short_is_said(tmp_path):
    ops = [
        {"op": "good", "dtype": "float32", "copy_share": 0.9, "tflops": 0.0,
         "milliseconds": {"csrc": 1.0, "compile": 1.2}},
        {"op": "product", "dtype": "float32", "copy_share": 0.2, "tflops": 300.0, "milliseconds": {"csrc": 1.0}},
        {"op": "bad", "dtype": "float32", "copy_share": 0.5, "tflops": 0.0,
         "milliseconds": {"csrc": 1.0, "compile": 0.8}},
    ]  # fmt: skip
    model = [{"layers": 8, "precision": "bf16", "mfu_causal": 0.40}, {"layers": 8, "precision": "delayed",
             "times_bf16": 1.4}, {"layers": 16, "precision": "bf16", "failed": "out of memory"}]  # fmt: skip
    assert gpu_check.verdicts(tmp_path) == []
    (tmp_path / "ops_gpu.json").write_text(json.dumps({"rows": ops}))
    (tmp_path / "model_gpu.json").write_text(json.dumps({"rows": model}))
    assert gpu_check.verdicts(tmp_path) == [
        "bad float32: 50% of copy bandwidth, 85% wanted", "bad float32: behind compile (1.000 against 0.800 ms)",
        "8 layers, bf16: MFU 40.0%, 45% wanted", "16 layers, bf16: out of memory",
    ]  # fmt: skip


def test_wheels_are_unpacked_and_named_with_their_bounds(tmp_path):
    with zipfile.ZipFile(tmp_path / "a-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("a/__init__.py", "x = 1\n")
    gpu_check.unpack(tmp_path, tmp_path / "site")
    assert (tmp_path / "site/a/__init__.py").read_text() == "x = 1\n"
    assert gather.requirement("megatron-core").startswith("megatron-core>=")
    assert gather.requirement("einops") == "einops"


def test_flops_of_the_published_model():
    model_gpu = load_model_gpu()
    full, causal = model_gpu.flops_per_token(model_gpu.PRESETS["aixcoder_7b"])
    # 7.43 B parameters less the 0.2 B of the embedding, and 12 L h s of attention at 32 K.
    assert full == pytest.approx(6 * 7.226e9 + 12 * 32 * 4096 * 32768, rel=1e-3)
    assert full - causal == 6 * 32 * 4096 * 32768


def load_model_gpu():
    sys.path.insert(0, str(ROOT / "tools" / "benchmark"))
    try:
        return load("benchmark/model_gpu.py", "model_gpu")
    finally:
        sys.path.pop(0)


def test_model_benchmark_trains(tmp_path):
    model_gpu = load_model_gpu()
    given = model_gpu.options().parse_args(
        ["--device", "cpu", "--preset", "tiny", "--layers", "1", "--seq-length", "64", "--rounds", "1",
         "--precisions", "fp32", "tensorwise"]
    )  # fmt: skip
    found = model_gpu.run(given)
    assert [row["precision"] for row in found["rows"]] == ["fp32", "tensorwise"]
    for row in found["rows"]:
        assert row["losses"][-1] < row["losses"][0]
        assert row["tokens_per_second"] > 0
