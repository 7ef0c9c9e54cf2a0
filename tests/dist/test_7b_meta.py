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


def layouts():
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


LAYOUTS = layouts()


@pytest.fixture(scope="module")
def built():
    """Layout → its ranks: the first tensor rank of every stage, and the very last rank."""
    cases = []
    for layout in LAYOUTS.values():
        per_stage = layout.gpus // layout.pp
        ranks = [stage * per_stage for stage in range(layout.pp)] + [layout.gpus - 1]
        cases.append((configured(CONFIG, layout), layout.gpus, ranks))
    (results,) = run_function(all_sizes, 1, cases, timeout=900)
    return dict(zip(LAYOUTS, results, strict=True))


def test_the_plan_ranks_many_divisions():
    assert len(LAYOUTS) >= 25
    assert {split[0] for split in LAYOUTS} >= {4, 8}
    assert {split[1] for split in LAYOUTS} >= {1, 2, 4, 8, 16}


@pytest.mark.parametrize("split", LAYOUTS, ids=lambda split: LAYOUTS[split].name())
def test_parameters_of_every_stage_are_the_plans_exactly(built, split):
    layout = LAYOUTS[split]
    planned = stage_parameters(CONFIG, layout)
    *stages, last = built[split]
    assert [rank["stage"] for rank in stages] == list(range(layout.pp))
    assert [rank["counts"] for rank in stages] == planned
    assert (last["tp_rank"], last["dp_size"], last["counts"]) == (layout.tp - 1, layout.dp, planned[-1])
    assert all(rank["shapes"] for rank in built[split])
    names = [name for rank in stages for name in rank["names"]]
    assert sorted(names) == sorted(parameter_table(CONFIG.model))  # every parameter on exactly one stage
