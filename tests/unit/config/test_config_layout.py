"""Impossible layouts: each rule with its values and its remedy, and layouts that are possible."""

import dataclasses

import pytest

from aixmeg.config import Config, ParallelConfig, conflicts
from aixmeg.config.layout import layout_conflicts

PP4 = {"pipeline_model_parallel_size": 4}
VPP = {**PP4, "virtual_pipeline_model_parallel_size": 2, "overlap_p2p_comm": True}
FULL = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}


def problems(world_size=None, train=None, **parallel):
    """Of the 7B model (32 layers, context 32,768) in a layout."""
    config = Config(parallel=ParallelConfig(**parallel))
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **(train or {})))
    return conflicts(config, world_size) if world_size else list(layout_conflicts(config))


@pytest.mark.parametrize(
    "parallel",
    [
        {},
        {"context_parallel_size": 4, "tensor_model_parallel_size": 8, "sequence_parallel": True},
        {**PP4, "num_layers_in_first_pipeline_stage": 6, "num_layers_in_last_pipeline_stage": 6},
        {**PP4, "num_layers_in_last_pipeline_stage": 5},
        {"pipeline_model_parallel_size": 2, "num_layers_in_last_pipeline_stage": 15,
         "num_layers_in_first_pipeline_stage": 17},
        {"pipeline_model_parallel_size": 11, "account_for_loss_in_pipeline_split": True},
        {**PP4, "num_layers_in_first_pipeline_stage": 8, "num_layers_in_last_pipeline_stage": 8},
        {"pipeline_model_parallel_size": 17, "account_for_loss_in_pipeline_split": True,
         "account_for_embedding_in_pipeline_split": True},
        FULL,
        {"recompute_granularity": "selective", "recompute_modules": ("mlp",)},
    ],
)  # fmt: skip
def test_possible(parallel):
    assert problems(**parallel) == []


@pytest.mark.parametrize(
    ("parallel", "said"),
    [
        ({"context_parallel_size": 3}, "seq_length=32768 is not divisible by 2 x parallel.context_parallel_size=3"),
        ({"context_parallel_size": 4096, "tensor_model_parallel_size": 8, "sequence_parallel": True}, None),
        ({"context_parallel_size": 8192, "tensor_model_parallel_size": 8, "sequence_parallel": True},
         "model.seq_length=32768, of which a rank has 4, is not divisible by parallel.tensor_model_parallel_size=8"),
        ({"pipeline_model_parallel_size": 5}, "model.num_layers=32 is not divisible by the pipeline's 5 stages"),
        ({**PP4, "account_for_loss_in_pipeline_split": True},
         "model.num_layers=32, with embedding and loss as configured 33, is not divisible by the pipeline's 4 stages"),
        ({"account_for_loss_in_pipeline_split": True}, "pipeline_model_parallel_size=1, so leave them out"),
        ({**PP4, "num_layers_in_first_pipeline_stage": 6, "account_for_loss_in_pipeline_split": True}, "set one kind"),
        ({**PP4, "num_layers_in_first_pipeline_stage": 6},
         "model.num_layers=32 minus 6 in the first stage leaves 26 for 3 stages; change"),
        ({**PP4, "num_layers_in_first_pipeline_stage": 16, "num_layers_in_last_pipeline_stage": 16},
         "model.num_layers=32 minus 16 and 16 in the first and last stage leaves 0 for 2 stages; change"),
        ({"pipeline_model_parallel_size": 2, "num_layers_in_first_pipeline_stage": 10,
          "num_layers_in_last_pipeline_stage": 10}, "leaves 12 for 0 stages"),
        ({**VPP, "num_layers_in_first_pipeline_stage": 5},
         "num_layers_in_first_pipeline_stage=5 must be positive and divide evenly over 2 chunks"),
        ({**FULL, "recompute_method": None}, "needs recompute_method and recompute_num_layers, which are None and 1"),
        ({**FULL, "recompute_num_layers": 0}, "parallel.recompute_num_layers=0 must be positive"),
        ({"recompute_method": "block"}, "are of recompute_granularity=full, which is None; set them to null"),
        ({"recompute_granularity": "selective", "recompute_modules": ()}, "without recompute_modules"),
    ],
)  # fmt: skip
def test_each_rule(parallel, said):
    found = problems(**parallel)
    assert [message for message in found if said in message] == found[:1] if said else found == []


def test_ranks_that_context_parallelism_takes_are_counted():
    found = problems(12, tensor_model_parallel_size=2, context_parallel_size=4)
    assert (
        "12 ranks cannot hold whole copies of the model: tensor 2 x context 4 x pipeline 1 = 8 ranks each" in found[-1]
    )
    assert problems(16, {"global_batch_size": 2, "micro_batch_size": 1}, tensor_model_parallel_size=2,
                    context_parallel_size=4) == []  # fmt: skip


def test_all_problems_come_at_once():
    found = problems(7, tensor_model_parallel_size=3, context_parallel_size=3, pipeline_model_parallel_size=5)
    assert len(found) >= 6
