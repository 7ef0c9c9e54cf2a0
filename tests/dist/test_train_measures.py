"""What a record says beside the loss: norms of the weights are those of one rank, parts of a step add up."""

import json
from pathlib import Path

import pytest
from train_ranks import LENGTH, TP2, changed, make_inputs, tiny_config, train_ranks

from aixmeg.config import ParallelConfig
from aixmeg.plan.counts import Shape, flops_per_token

LAYOUTS = {
    "tp2": TP2,
    "pp2": ParallelConfig(pipeline_model_parallel_size=2),
    "dp2": ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measures")
    make_inputs(folder)
    return folder


def records(root, name, ranks, parallel=None, train=None, **model):
    config = tiny_config(root, parallel, steps=3, save_interval=0, eval_interval=0)
    logging = {"peak_tflops": 0.01}
    config = changed(config, paths={"run": Path(name)}, logging=logging, model=model, train=train or {})
    train_ranks(config, ranks, log=root / name)
    lines = [json.loads(line) for line in (root / name / "metrics.jsonl").read_text().splitlines()]
    return config, [line for line in lines if line["kind"] == "train"]


def norms(record):
    return {name: value for name, value in record.items() if name.startswith("norm_")}


@pytest.mark.parametrize("tied", [False, True])
def test_norms_are_those_of_one_rank(root, tied):
    shape = {"share_embeddings_and_output_weights": tied}
    _, whole = records(root, f"one-{tied}", 1, **shape)
    assert ("norm_output" in whole[0]) is not tied
    for name in ("pp2",) if tied else LAYOUTS:
        _, found = records(root, f"{name}-{tied}", 2, LAYOUTS[name], **shape)
        for ours, theirs in zip(found, whole, strict=True):
            assert norms(ours) == pytest.approx(norms(theirs), rel=1e-5)  # fp32 sums in another order


def test_parts_add_up_and_speed_follows_the_formula(root):
    config, found = records(root, "speed", 2, TP2)
    for record in found:
        parts = [record[f"seconds_{name}"] for name in
                 ("data", "forward_backward", "communication", "optimizer", "other")]  # fmt: skip
        assert min(parts) >= 0 and record["seconds_forward_backward"] > 0 and record["seconds_optimizer"] > 0
        assert sum(parts) == pytest.approx(record["seconds"], abs=1e-3)  # rounded apart
        flops = flops_per_token(Shape.of(config.model))
        for convention, per_token in (("full", flops.full), ("causal", flops.causal)):
            per_rank = record["tokens_per_second"] * per_token / 2
            assert record[f"tflops_{convention}"] == pytest.approx(per_rank / 1e12, rel=1e-2)  # shown with few digits
            assert record[f"mfu_{convention}"] == pytest.approx(per_rank / 0.01e12, abs=1e-4)
        assert 0 < record["goodput"] <= 1 and record["memory_peak"] > 2**27
    assert found[-1]["tokens"] == 3 * 4 * LENGTH


def test_attention_inside_documents_counts_for_less(root):
    config, found = records(root, "documents", 1, train={"document_mask": "example"})
    flops = flops_per_token(Shape.of(config.model))
    for record in found:
        # Examples are shorter than the sample, and none of their attention is a square of its length.
        bounds = [record["tokens_per_second"] * per_token / 1e12 for per_token in (flops.matrices, flops.full)]
        assert bounds[0] * 1.0001 < record["tflops_full"] < bounds[1] * 0.9999
        least = record["tokens_per_second"] * flops.matrices / 1e12
        assert record["tflops_full"] - least == pytest.approx(2 * (record["tflops_causal"] - least), rel=1e-2)
