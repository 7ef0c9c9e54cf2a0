"""Whether this node's GPUs are fit to train on, by what NVML tells; no kernel is run here (see exercise.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aixmeg.nvml.device import FAULTS, Condition, Gpu, Nvml, Reading

_FREE_MEMORY: Final = 1 << 30
"""Bytes that a GPU may hold before the job starts: the driver's own, and display servers."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One broken rule."""

    where: str
    """`GPU 3`, or `node`."""
    what: str
    """The value and the rule."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


def check_node(nvml: Nvml, *, expected: int | None = None) -> list[Problem]:
    """Every broken rule of a node; none where all is well.

    Args:
        nvml: opened on the node.
        expected: GPUs that the node should have; None takes what is there, and a node without GPUs is then fine.
    """
    found = [(gpu, gpu.read(), gpu.condition()) for gpu in nvml.gpus]
    problems: list[Problem] = []
    if expected is not None and len(found) < expected:
        why = f" ({nvml.absent})" if nvml.absent else ""
        problems.append(
            Problem(
                where="node",
                what=f"{len(found)} GPUs answer, {expected} are expected{why}",
                remedy="look for Xid 79 (fallen off the bus) in `dmesg` and reboot the node",
            )
        )
    links = [condition.active_links for _, _, condition in found]
    for gpu, reading, condition in found:
        problems += _of_gpu(gpu, reading, condition, links)
    return problems


def _of_gpu(gpu: Gpu, reading: Reading, condition: Condition, links: Sequence[frozenset[int]]) -> Iterator[Problem]:
    where = f"GPU {gpu.index}"
    if reading.ecc_uncorrected:
        yield Problem(
            where=where, what=f"{reading.ecc_uncorrected} uncorrected memory errors since the driver was loaded",
            remedy="reset the GPU (nvidia-smi -r); replace it if they come again",
        )  # fmt: skip
    if condition.remapping_failed:
        yield Problem(where=where, what="a memory row could not be remapped", remedy="replace the GPU")
    elif condition.rows_pending:
        yield Problem(where=where, what="memory rows wait to be remapped", remedy="reset the GPU (nvidia-smi -r)")
    if condition.pcie_width and condition.pcie_width_max and condition.pcie_width < condition.pcie_width_max:
        yield Problem(
            where=where, what=f"{condition.pcie_width} of {condition.pcie_width_max} PCIe lanes are in use",
            remedy="reseat the GPU or its riser",
        )  # fmt: skip
    # A link that is up on most of its neighbours is meant to be up here too.
    down = sorted(
        link for link in frozenset().union(*links) - condition.active_links
        if 2 * sum(link in others for others in links) > len(links)
    )  # fmt: skip
    if down:
        yield Problem(
            where=where, what=f"NVLinks {', '.join(map(str, down))} are down, and up on the node's other GPUs",
            remedy="reset the GPUs and the fabric manager",
        )  # fmt: skip
    if faults := [name for name in reading.throttles if name in FAULTS]:
        yield Problem(
            where=where, what=f"clocks are held down by {', '.join(faults)}", remedy="check cooling and power supply"
        )
    if reading.memory_used is not None and reading.memory_used > _FREE_MEMORY:
        yield Problem(
            where=where, what=f"{reading.memory_used / 2**30:.1f} GiB are in use before the job starts",
            remedy="end the process that a former job left (nvidia-smi shows it)",
        )  # fmt: skip
