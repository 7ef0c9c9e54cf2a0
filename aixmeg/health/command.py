"""The command: every rank looks at its node, works a little, and rank 0 says which nodes to leave out."""

from __future__ import annotations

import dataclasses
import functools
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aixmeg.errors import UserError
from aixmeg.files import write_json
from aixmeg.health.node import Problem, check_node
from aixmeg.nvml import open_nvml

if TYPE_CHECKING:
    from aixmeg.health.verdict import Words


def health(*, gpus_per_node: int | None, out: Path | None, quick: bool = False, timeout: float = 60.0) -> None:
    """Check all nodes of the job, alone or under torchrun, srun or mpirun; print a table and the nodes to exclude.

    Args:
        gpus_per_node: GPUs that a node must have; None takes what is there.
        out: folder for each rank's findings, and for rank 0's about others. A rank's file also says what it has begun:
            one that hangs or is killed is known by it.
        quick: look at this node alone, by NVML, without torch and without the other ranks.
        timeout: seconds that ranks wait for each other.

    Raises:
        UserError: a node is not fit, or the ranks do not meet.
    """
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    if quick:
        _look(node, gpus_per_node, out)
        return
    from aixmeg.health.look import Look
    from aixmeg.parallel import launch

    here = launch.discover()
    note = functools.partial(_keep, out, node, here.rank)
    look = Look(here, node, gpus=gpus_per_node, seconds=timeout, note=note)
    words = look.take()
    look.leave("" if words is None else _tell(words, look.bandwidth, out))


def _tell(words: Words, bandwidth: float | None, out: Path | None) -> str:
    """On rank 0: print what was found, keep what concerns others; returns what is wrong, or nothing."""
    from aixmeg.health.verdict import judge

    verdict = judge(words)
    if out is not None:
        for node, problems in verdict.found.items():
            _keep(out, node, None, problems, None)
        if verdict.trouble:
            write_json(out / "trouble.json", {"trouble": verdict.trouble})
    found = {node: list(problems) for node, problems in verdict.found.items()}
    for report in words.reports.values():
        if report.problems:
            found.setdefault(report.node, []).extend(report.problems)
    _print(words, found, bandwidth)
    said = [verdict.trouble] if verdict.trouble else []
    if found:
        count = len(set(words.nodes.values()))
        said.insert(0, f"{len(found)} of {count} nodes are not fit: --exclude={','.join(sorted(found))}")
    return "; ".join(said)


def _look(node: str, gpus_per_node: int | None, out: Path | None) -> None:
    """This node, in a second."""
    with open_nvml() as nvml:
        problems, count = check_node(nvml, expected=gpus_per_node), len(nvml.gpus)
    _keep(out, node, int(os.environ.get("SLURM_PROCID", "0")), problems, None)
    if problems:
        raise UserError(f"{node} is not fit: " + "; ".join(map(str, problems)))
    print(f"{node} is fit: {count} GPUs")


def _keep(out: Path | None, node: str, rank: int | None, problems: Sequence[Problem], begun: str | None) -> None:
    """A rank's findings, or with rank None those of rank 0 about another's node."""
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    write_json(
        out / f"{node}-{'compared' if rank is None else rank}.json",
        {"node": node, "rank": rank, "problems": [dataclasses.asdict(one) for one in problems], "begun": begun},
    )


def _print(words: Words, found: Mapping[str, Sequence[Problem]], bandwidth: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="nodes", title_justify="left")
    for heading in ("node", "ranks", "GPUs", "TFLOP/s, slowest and fastest", "problems"):
        table.add_column(heading, overflow="fold")
    for node in dict.fromkeys(words.nodes.values()):
        reports = [report for report in words.reports.values() if report.node == node]
        gpus = next((report.gpus for report in reports if report.gpus), [])
        shown = f"{len(gpus)} x {gpus[0]}" if gpus else "none"
        speeds = [report.tflops for report in reports]
        speed = f"{min(speeds):.3g} to {max(speeds):.3g}" if speeds else "–"
        ranks = sum(name == node for name in words.nodes.values())
        table.add_row(node, str(ranks), shown, speed, "\n".join(map(str, found.get(node, []))) or "none")
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
    if bandwidth is not None:
        console.print(f"all-reduce over {words.ranks} ranks: {bandwidth:.3g} GB/s bus bandwidth")
