"""The real 7B model is built, on the meta device, in every layout that `aixmeg plan` ranks for 8, 64 and 128 GPUs."""

from pathlib import Path

import pytest
from launch import ROOT, run_function
from meta_worker import all_sizes

from aixmeg.config import load_config
from aixmeg.model.names import parameter_table
from aixmeg.plan.counts import stage_parameters
from aixmeg.plan.hardware import GPUS
from aixmeg.plan.layout import configured
from aixmeg.plan.search import search

CONFIG = load_config(Path(ROOT, "examples/aixcoder_7b.yaml"))
GPU_COUNTS = (8, 64, 128)


@pytest.fixture(scope="module")
def layouts():  # not when the tests are collected: it is a dozen searches
    """Each division of the model once, with the smallest number of GPUs that it is ranked for: data-parallel ranks
    hold the same parameters, and a test of one rank of them is a test of all."""
    found = {}
    for gpus in GPU_COUNTS:
        for kind in GPUS.values():
            for one in search(CONFIG, gpus, kind).ranked:
                layout = one.layout
                split = (layout.tp, layout.pp, layout.vpp, layout.embedding_in_split, layout.loss_in_split)
                found.setdefault(split, layout)
    return found


@pytest.fixture(scope="module")
def built(layouts):
    """Layout → its ranks: the first tensor rank of every stage, and the very last rank."""
    cases = []
    for layout in layouts.values():
        per_stage = layout.gpus // layout.pp
        ranks = [stage * per_stage for stage in range(layout.pp)] + [layout.gpus - 1]
        cases.append((configured(CONFIG, layout), layout.gpus, ranks))
    (results,) = run_function(all_sizes, 1, cases, timeout=900)
    return dict(zip(layouts, results, strict=True))


def test_the_plan_ranks_many_divisions(layouts):
    assert len(layouts) >= 25
    assert {split[0] for split in layouts} >= {4, 8}
    assert {split[1] for split in layouts} >= {1, 2, 4, 8, 16}


def test_parameters_of_every_stage_are_the_plans_exactly(layouts, built):
    for split, layout in layouts.items():
        name, planned = layout.name(), stage_parameters(CONFIG, layout)
        *stages, last = built[split]
        assert [rank["stage"] for rank in stages] == list(range(layout.pp)), name
        assert [rank["counts"] for rank in stages] == planned, name
        assert (last["tp_rank"], last["dp_size"], last["counts"]) == (layout.tp - 1, layout.dp, planned[-1]), name
        assert all(rank["shapes"] for rank in built[split]), name
        names = [parameter for rank in stages for parameter in rank["names"]]
        assert sorted(names) == sorted(parameter_table(CONFIG.model)), name  # every parameter on exactly one stage
