"""The ranks of a training join the watch: rank 0 hears, all others find it through the process group."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from aixmeg.config import WatchConfig
from aixmeg.errors import UserError
from aixmeg.train.together import on_every_rank, on_rank_zero
from aixmeg.watch.hub import Hub
from aixmeg.watch.member import Watch
from aixmeg.watch.stacks import own_process

if TYPE_CHECKING:
    from aixmeg.parallel.launch import Launch


def open_watch(launch: Launch, options: WatchConfig) -> Watch:
    """Join; collective, once torch.distributed is started.

    Raises:
        UserError: a rank cannot reach rank 0.
    """
    host = socket.gethostname()
    who = {"host": host, "pid": os.getpid(), "gpu": launch.local_rank if launch.backend == "nccl" else None}
    hubs: list[Hub] = []

    def invite() -> dict[str, object]:
        hubs.append(Hub(ranks=launch.world_size, options=options, address=launch.master_addr, who=who,
                        process=own_process(host)))  # fmt: skip
        return hubs[0].invitation()

    invitation = on_rank_zero(invite)

    def join() -> Watch:
        try:
            return Watch(
                rank=launch.rank, ranks=launch.world_size, options=options, who=who, invitation=invitation,
                hub=hubs[0] if hubs else None,
            )  # fmt: skip
        except OSError as error:
            raise UserError(
                f"cannot reach rank 0 at {invitation['address']}:{invitation['port']} ({error}); ranks watch each "
                "other over TCP: let the nodes of a job reach each other's ports"
            ) from error

    return on_every_rank(join)
