"""SLURM's compressed host lists, as far as finding the first host and an address that other nodes reach."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess

from aixmeg.errors import UserError

_FIRST = re.compile(r"(?:[^\[\],]|\[\d[\d,-]*\])+")
"""Everything before the first comma that stands outside brackets."""


def first_name(nodes: str) -> str:
    """`gpu[003-007,9],login1` → `gpu003`.

    Raises:
        UserError: `nodes` is no host list.
    """
    match = _FIRST.match(nodes)
    if match is None or nodes[match.end() : match.end() + 1] not in ("", ","):
        raise UserError(f"SLURM's node list {nodes!r} cannot be read; set MASTER_ADDR to the first node's address")
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", match[0])


def first_host(nodes: str) -> str:
    """An address of the first host of `nodes`: its name if it resolves, else what `scontrol` says of it."""
    name = first_name(nodes)
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        return _node_address(name)
    return name


def _node_address(name: str) -> str:
    if shutil.which("scontrol"):
        answer = subprocess.run(["scontrol", "show", "node", name], capture_output=True, text=True, check=False)
        match = re.search(r"NodeAddr=(\S+)", answer.stdout)
        if match:
            return match[1]
    raise UserError(f"the first node {name!r} does not resolve; set MASTER_ADDR to its address")
