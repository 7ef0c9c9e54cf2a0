"""Whom rank 0 blames, from what the ranks have said: each fault alone."""

import pytest

from aixmeg.health.node import Problem
from aixmeg.health.verdict import Report, Words, judge

NODES = {0: "a", 1: "a", 2: "b", 3: "b", 4: "c", 5: "c"}
RIGHT = dict.fromkeys(NODES, True)


def words(*, silent=(), speeds=None, device="cuda", problems=(), **said):
    reports = {
        rank: Report(node=node, rank=rank, gpus=[], problems=list(problems), tflops=(speeds or {}).get(rank, 600.0),
                     device=device)
        for rank, node in NODES.items() if rank not in silent
    }  # fmt: skip
    return Words(**{"ranks": 6, "seconds": 30, "nodes": NODES, "reports": reports, "sums": RIGHT} | said)


def blamed(said):
    verdict = judge(said)
    return {node: [problem.what for problem in found] for node, found in verdict.found.items()}, verdict.trouble


def test_nobody_where_all_is_well():
    assert blamed(words()) == ({}, "")
    assert blamed(words(device="cpu", speeds={3: 1.0})) == ({}, "")  # a busy CPU


def test_a_slow_gpu():
    assert blamed(words(speeds={3: 500.0})) == (
        {"b": ["rank 3 multiplies at 500 TFLOP/s, markedly below the median"]}, ""
    )  # fmt: skip


def test_a_rank_that_hangs_before_the_others_wait_for_it():
    said = words(silent=[4], sums={}, answering=dict.fromkeys([0, 1, 2, 3, 5], True))
    assert blamed(said) == ({"c": ["rank 4 did not come past a matrix product within 30 s"]}, "")


def test_a_rank_that_never_came():
    nodes = {rank: node for rank, node in NODES.items() if rank != 4}
    said = words(silent=[4], sums={}, nodes=nodes)
    assert blamed(said) == ({}, "rank 4 was never heard of, nor its node's name")


@pytest.mark.parametrize("sums", [{}, {0: True, 5: True}], ids=["none", "some"])
def test_a_rank_that_hangs_in_the_all_reduce(sums):
    said = words(sums=sums, answering=dict.fromkeys([0, 1, 3, 4], True) if sums else dict.fromkeys([0, 1, 3, 4, 5], 1))
    assert blamed(said) == ({"b": ["rank 2 no longer answered in an all-reduce"]}, "")


def test_a_network_that_hangs_is_nobodys():
    found, trouble = blamed(words(sums={}, answering=RIGHT))
    assert found == {}
    assert trouble.startswith("an all-reduce did not end within 30 s, though every rank answers")


def test_a_rank_whose_sums_alone_are_wrong():
    found, trouble = blamed(words(sums=RIGHT | {3: False}, links=RIGHT))
    assert (found, trouble) == ({"b": ["rank 3 got wrong sums from an all-reduce, other ranks did not"]}, "")


def test_wrong_sums_everywhere_are_nobodys():
    found, trouble = blamed(words(sums=dict.fromkeys(NODES, False), links=RIGHT))
    assert found == {}
    assert trouble.startswith("an all-reduce gives wrong sums, though every link")


def test_a_link_that_damages_data_names_both_its_nodes():
    found, _ = blamed(words(sums=dict.fromkeys(NODES, False), links=RIGHT | {2: False}))
    assert found == {node: ["the link from rank 1 (a) to rank 2 (b) damages data"] for node in "ab"}


def test_a_node_between_two_such_links_is_the_one():
    found, _ = blamed(words(sums=dict.fromkeys(NODES, False), links=RIGHT | {2: False, 4: False}))
    assert found == {
        "b": [
            "the link from rank 1 (a) to rank 2 (b) damages data",
            "the link from rank 3 (b) to rank 4 (c) damages data",
        ]
    }


def test_a_link_inside_a_node():
    found, _ = blamed(words(sums=dict.fromkeys(NODES, False), links=RIGHT | {3: False}))
    assert found == {"b": ["the link from rank 2 (b) to rank 3 (b) damages data"]}


def test_what_a_rank_has_said_itself_explains_the_rest():
    problem = Problem(where="node", what="a matrix product failed: out of memory", remedy="look")
    assert blamed(words(problems=[problem], sums={}, answering=RIGHT)) == ({}, "")
