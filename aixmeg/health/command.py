"""The command: every rank looks at its node, works a little, and rank 0 says which nodes to leave out."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from aixmeg.errors import UserError
from aixmeg.files import write_json
from aixmeg.health.node import Problem, check_node
from aixmeg.nvml import open_nvml

_MEETING: Final = timedelta(minutes=2)
"""How long the ranks wait for each other."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one rank found."""

    node: str
    rank: int
    gpus: list[str]
    """Names of the node's GPUs, from the rank that looked at them."""
    problems: list[Problem]
    tflops: float
    device: str


def health(*, gpus_per_node: int | None, out: Path | None, quick: bool = False) -> None:
    """Check all nodes of the job, alone or under torchrun, srun or mpirun; print a table and the nodes to exclude.

    Args:
        gpus_per_node: GPUs that a node must have; None takes what is there.
        out: folder for each rank's findings.
        quick: look at this node alone, by NVML, without torch and without the other ranks.

    Raises:
        UserError: a node is not fit, or the ranks do not meet.
    """
    if quick:
        _look(gpus_per_node, out)
        return
    from aixmeg.health.exercise import multiply, reduce_all, slow_ranks
    from aixmeg.parallel import launch

    # 1. The node, before anything that a bad one could hang; its report is on disk before the ranks meet.
    here = launch.discover()
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    problems, names = [], []
    if here.local_rank == 0:
        with open_nvml() as nvml:
            problems = check_node(nvml, expected=gpus_per_node)
            names = [gpu.name for gpu in nvml.gpus]
    if out is not None:
        _write(out, node, here.rank, problems)

    # 2. The device.
    device = here.device
    product = multiply(device)
    where = f"GPU {here.local_rank}" if device.type == "cuda" else "CPU"
    if not product.right:
        problems.append(Problem(where=where, what="a matrix product is wrong", remedy="take the node out of service"))
    mine = Report(
        node=node, rank=here.rank, gpus=names, problems=problems, tflops=product.tflops, device=device.type
    )  # fmt: skip

    # 3. The network, and everybody's findings.
    launch.start(here, timeout=_MEETING)
    try:
        reports = _gather(mine, here.world_size)
        reduction = reduce_all(device) if here.world_size > 1 else None
    finally:
        launch.stop()
    if here.rank:
        return
    found = {report.rank: list(report.problems) for report in reports}
    if device.type == "cuda":  # CPUs of a shared machine are as fast as their neighbours let them
        for rank in slow_ranks([report.tflops for report in reports]):
            what = f"rank {rank} multiplies at {reports[rank].tflops:.0f} TFLOP/s, markedly below the median"
            found[rank].append(Problem(where="GPU", what=what, remedy="look at its clocks, power cap and cooling"))
    _print(reports, found, reduction)
    bad = sorted({report.node for report in reports if found[report.rank]})
    if reduction is not None and not reduction.right:
        raise UserError(
            "an all-reduce gives wrong sums: a link or a device damages data; check half of the nodes at a time"
        )
    if bad:
        raise UserError(f"{len(bad)} of {len({r.node for r in reports})} nodes are not fit: --exclude={','.join(bad)}")


def _look(gpus_per_node: int | None, out: Path | None) -> None:
    """This node, in a second."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    with open_nvml() as nvml:
        problems, count = check_node(nvml, expected=gpus_per_node), len(nvml.gpus)
    if out is not None:
        _write(out, node, int(os.environ.get("SLURM_PROCID", "0")), problems)
    if problems:
        raise UserError(f"{node} is not fit: " + "; ".join(map(str, problems)))
    print(f"{node} is fit: {count} GPUs")


def _gather(mine: Report, ranks: int) -> list[Report]:
    import torch.distributed as dist

    reports: list[Any] = [None] * ranks
    dist.all_gather_object(reports, mine)
    return reports


def _write(folder: Path, node: str, rank: int, problems: Sequence[Problem]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / f"{node}-{rank}.json",
        {"node": node, "rank": rank, "problems": [dataclasses.asdict(problem) for problem in problems]},
    )


def _print(reports: Sequence[Report], found: dict[int, list[Problem]], reduction: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="nodes", title_justify="left")
    for heading in ("node", "ranks", "GPUs", "TFLOP/s, slowest and fastest", "problems"):
        table.add_column(heading, overflow="fold")
    for node in dict.fromkeys(report.node for report in reports):
        of_node = [report for report in reports if report.node == node]
        gpus = next((report.gpus for report in of_node if report.gpus), [])
        shown = f"{len(gpus)} x {gpus[0]}" if gpus else "none"
        speeds = [report.tflops for report in of_node]
        problems = "\n".join(str(problem) for report in of_node for problem in found[report.rank])
        table.add_row(node, str(len(of_node)), shown, f"{min(speeds):.3g} to {max(speeds):.3g}", problems or "none")
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
    if reduction is not None:
        console.print(f"all-reduce over {len(reports)} ranks: {reduction.gigabytes_per_second:.3g} GB/s bus bandwidth")
