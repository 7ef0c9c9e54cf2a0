"""Which nodes are not fit, from what all ranks have said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aixmeg.health.exercise import slow_ranks
from aixmeg.health.node import Problem

_NETWORK = "look at the node's network card, cable and switch port"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one rank found of its node and its device."""

    node: str
    rank: int
    gpus: list[str]
    """Names of the node's GPUs, from the rank that looked at them."""
    problems: list[Problem]
    tflops: float
    device: str
    """cuda or cpu; none where nothing could be done."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """What was said until the end of the look, by rank; who is missing said nothing."""

    ranks: int
    """All that were started."""
    seconds: float
    """How long they had."""
    nodes: Mapping[int, str]
    """Where a rank is: said first."""
    reports: Mapping[int, Report]
    """Said after the matrix product."""
    sums: Mapping[int, bool] = field(default_factory=dict)
    """Whether a rank's result of the all-reduce was right."""
    links: Mapping[int, bool] = field(default_factory=dict)
    """Whether what a rank got from the rank before it was right; asked for where a sum was wrong."""
    answering: Mapping[int, bool] = field(default_factory=dict)
    """Who still answered at the end, where the all-reduce did not end."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What follows."""

    found: dict[str, list[Problem]]
    """Node → what rank 0 has found wrong with it by comparing ranks."""
    trouble: str = ""
    """What is wrong without a node that could be named."""


def judge(words: Words) -> Verdict:
    """Compare the ranks. What a rank has found by itself is in its report and not repeated here."""
    found: dict[str, list[Problem]] = {}
    trouble: list[str] = []
    for rank, problem in [*_lost(words), *_slow(words), *_wrong(words)]:
        if rank in words.nodes:
            found.setdefault(words.nodes[rank], []).append(problem)
        else:
            trouble.append(f"rank {rank} was never heard of, nor its node's name")
    known = any(report.problems for report in words.reports.values())
    if not found and not trouble and not known and words.ranks > 1:
        if len(words.sums) < words.ranks:
            trouble.append(
                f"an all-reduce did not end within {words.seconds:.0f} s, though every rank answers: look at the "
                "network between the nodes, half of them at a time"
            )
        elif not all(words.sums.values()):
            trouble.append(
                "an all-reduce gives wrong sums, though every link between two ranks is right: a device damages data; "
                "check half of the nodes at a time"
            )
    return Verdict(found=found, trouble="; ".join(trouble))


def _lost(words: Words) -> Iterator[tuple[int, Problem]]:
    """Ranks for which the others waited in vain."""
    for rank in range(words.ranks):
        if rank not in words.reports:
            what = f"rank {rank} did not come past a matrix product within {words.seconds:.0f} s"
            yield rank, Problem(where="node", what=what, remedy="reboot it, or take it out of service")
        elif words.answering and rank not in {*words.answering, *words.sums}:
            what = f"rank {rank} no longer answered in an all-reduce"
            yield rank, Problem(where="node", what=what, remedy="look whether it is up")


def _slow(words: Words) -> Iterator[tuple[int, Problem]]:
    # CPUs of a shared machine are as fast as their neighbours let them.
    ranks = [rank for rank, report in words.reports.items() if report.device == "cuda"]
    speeds = [words.reports[rank].tflops for rank in ranks]
    for place in slow_ranks(speeds) if ranks else []:
        what = f"rank {ranks[place]} multiplies at {speeds[place]:.0f} TFLOP/s, markedly below the median"
        yield ranks[place], Problem(where="GPU", what=what, remedy="look at its clocks, power cap and cooling")


def _wrong(words: Words) -> Iterator[tuple[int, Problem]]:
    """Who damages sums: the ends of links that damage what they carry, else the ranks that alone got them wrong. Of two
    nodes at a link, the one at more such links; both where that does not tell them apart."""
    links = [((rank - 1) % words.ranks, rank) for rank, right in words.links.items() if not right]
    blamed = Counter(node for link in links for node in {words.nodes[end] for end in link})
    for a, b in links:
        most = max(blamed[words.nodes[a]], blamed[words.nodes[b]])
        for rank in {words.nodes[end]: end for end in (a, b) if blamed[words.nodes[end]] == most}.values():
            what = f"the link from rank {a} ({words.nodes[a]}) to rank {b} ({words.nodes[b]}) damages data"
            yield rank, Problem(where="network", what=what, remedy=_NETWORK)
    wrong = [rank for rank, right in words.sums.items() if not right]
    if links or 2 * len(wrong) > len(words.sums):
        return
    for rank in wrong:
        what = f"rank {rank} got wrong sums from an all-reduce, other ranks did not"
        yield rank, Problem(where="node", what=what, remedy="take the node out of service")
