"""Ranking, fitting and the command."""

import dataclasses
import json

import pytest

from aixmeg import cli
from aixmeg.config import Config, ParallelConfig, conflicts, load_config
from aixmeg.errors import UserError
from aixmeg.plan.command import plan
from aixmeg.plan.communication import traffic
from aixmeg.plan.estimate import estimate, job_of
from aixmeg.plan.hardware import GPUS, usable_memory
from aixmeg.plan.layout import Layout, configured, layout_of, overrides
from aixmeg.plan.search import layouts, search

H100 = GPUS["h100"]
CONFIG = Config(parallel=ParallelConfig(overlap_grad_reduce=True, overlap_param_gather=True))
CONFIG = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, global_batch_size=128))


@pytest.mark.parametrize("gpus", [8, 64])
def test_ranked_layouts_are_valid_fit_and_descend(gpus):
    found = search(CONFIG, gpus, H100)
    assert len(found.ranked) >= 5
    speeds = [one.time.tokens_per_second for one in found.ranked]
    assert speeds == sorted(speeds, reverse=True)
    for one in found.ranked:
        assert one.layout.gpus == gpus
        assert one.memory.total <= usable_memory(H100)
        assert conflicts(configured(CONFIG, one.layout), gpus) == []
        assert layout_of(configured(CONFIG, one.layout), gpus) == one.layout


def test_what_does_not_fit_has_a_reason():
    found = search(CONFIG, 8, GPUS["a100-40"])
    (whole,) = [one for one in found.too_large if one.layout.tp == one.layout.pp == one.layout.cp == 1]
    assert "GiB on stage 0" in whole.does_not_fit
    assert "most of it" in whole.does_not_fit
    assert not {one.layout.name() for one in found.ranked} & {one.layout.name() for one in found.too_large}


def test_what_is_impossible_has_the_rule():
    found = search(dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, num_query_groups=2)), 8, H100)
    assert any("num_query_groups=2 is not divisible" in text for text in found.refused)
    assert all(one.layout.tp <= 2 for one in found.ranked)


def test_options_of_a_layout_load_as_that_layout():
    for layout in layouts(CONFIG, 16):
        if conflicts(configured(CONFIG, layout), 16):
            continue
        given = {name: json.dumps(value) for name, value in overrides(layout).items()}
        loaded = load_config(None, {**given, "train.global_batch_size": "128"})
        assert layout_of(loaded, 16) == layout


def test_tensor_parallel_traffic_is_the_known_sum():
    """Megatron-LM (arXiv 1909.08053): four all-reduces of [s, b, h] per layer; one sends twice its size times
    (tp - 1) / tp. The embedding and the loss have one each, of half that cost in this count."""
    job = job_of(CONFIG, Layout(tp=8, micro_batch_size=1))
    one = 32_768 * 4096 * 2 * 7 / 8
    assert traffic(job)["tp"].bytes == pytest.approx(128 * (32 * 4 * 2 * one + 2 * one))


def test_data_parallel_traffic_is_gradients_and_weights():
    sent = traffic(job_of(CONFIG, Layout(tp=4, sp=True, dp=2)))["dp"]
    parameters = estimate(CONFIG, Layout(tp=4, sp=True, dp=2), H100).parameters[0]
    assert sent.bytes == pytest.approx(parameters / 2 * (4 + 2))
    assert sent.link == "NVLink"
    assert traffic(job_of(CONFIG, Layout(tp=4, sp=True, dp=16)))["dp"].link == "network"


def test_bubble_is_the_textbooks():
    assert estimate(CONFIG, Layout(tp=4, sp=True, pp=4), H100).bubble == pytest.approx(3 / 128)
    assert estimate(CONFIG, Layout(tp=4, sp=True, pp=4, vpp=4), H100).bubble == pytest.approx(3 / 128 / 4)


def test_a_faster_gpu_is_predicted_faster():
    names = ("a100", "h100", "h200", "b200")
    speeds = [estimate(CONFIG, Layout(tp=8, sp=True), GPUS[name]).time.tokens_per_second for name in names]
    assert speeds == sorted(speeds)
    assert len(set(speeds)) == len(speeds)


def test_every_gpu_names_its_source():
    assert all("datasheet" in gpu.source for gpu in GPUS.values())


def test_command_prints_tables_and_json(capsys):
    words = ["plan", "--gpus", "8", "--gpu", "a100-40", "--train.global_batch_size", "128"]
    assert cli.main([*words, "--top", "2"]) == 0
    printed = capsys.readouterr().out
    for part in ("7.43 B parameters", "full attention", "causal attention", "Best layouts", "Do not fit", "optimizer",
                 "NVLink", "--parallel.tensor_model_parallel_size"):  # fmt: skip
        assert part in printed
    assert cli.main([*words, "--json", "--top", "2"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["layouts"]) == 2
    assert report["configured"]["fits"] is False
    first = report["layouts"][0]
    assert sum(first["memory_bytes"][name] for name in ("weights", "gradients", "optimizer", "activations", "buffers")
               ) == pytest.approx(first["memory_bytes"]["total"])  # fmt: skip
    seconds = first["seconds"]
    assert sum(value for name, value in seconds.items() if name != "step") == pytest.approx(seconds["step"])


def test_command_shows_why_the_configured_layout_cannot_be(capsys):
    plan(CONFIG, gpus=7, gpu="h100", top=1)
    assert "train.global_batch_size=128 is not divisible" in capsys.readouterr().out


def test_bad_input_is_refused():
    with pytest.raises(UserError, match="choose a100-40, a100, h100, h200, b200"):
        plan(CONFIG, gpus=8, gpu="v100")
    with pytest.raises(UserError, match="must be positive"):
        plan(CONFIG, gpus=0, gpu="h100")
    fp8 = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, fp8="hybrid"))
    with pytest.raises(UserError, match="has no FP8"):
        plan(fp8, gpus=8, gpu="a100")
