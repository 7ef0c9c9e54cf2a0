"""What megatron-core does silently wrong, seen through our fixes on real ranks."""

from launch import run_function
from model_worker import MODEL, VPP, groups, initial_weights, resume, send_and_free

from aixmeg.model.names import parameter_table


def test_resumed_distributed_optimizer_continues_bit_for_bit(tmp_path):
    for result in run_function(resume, 2, str(tmp_path), {}):
        assert result["resumed"] == result["straight"]
        assert set(result["counters"]) == {6.0}  # 84 where one tensor serves all parameters


def test_a_tensor_may_be_freed_while_gloo_sends_it():
    _, received = run_function(send_and_free, 2)
    assert received == list(range(1, 21))


def test_initial_weights_do_not_depend_on_the_layout():
    tp, pp = {"tensor_model_parallel_size": 2}, {"pipeline_model_parallel_size": 2}
    alone = run_function(initial_weights, 1, [{}])[0][0]
    layouts = run_function(initial_weights, 2, [{**tp, "sequence_parallel": True}, pp, VPP])[0]
    assert set(alone) == set(parameter_table(MODEL))
    for layout in layouts:
        for name, expected in alone.items():
            assert layout[name].equal(expected), name


def test_topology_of_four_ranks():
    found = run_function(groups, 4, {"tensor_model_parallel_size": 2, "pipeline_model_parallel_size": 2})
    assert [place["tp_group"] for place in found] == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert [place["pp_group"] for place in found] == [[0, 2], [1, 3], [0, 2], [1, 3]]
    assert [place["dp_group"] for place in found] == [[0], [1], [2], [3]]
    assert [(place["tp_rank"], place["pp_rank"], place["dp_rank"]) for place in found] == [
        (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0),
    ]  # fmt: skip
    assert [place["is_first_stage"] for place in found] == [True, True, False, False]
    assert [place["is_last_stage"] for place in found] == [False, False, True, True]
