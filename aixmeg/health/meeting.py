"""Where the ranks of a look leave word for each other: a key-value store on rank 0, beside the network under test.

What a rank has found is told here and not by a collective, so that a rank that hangs keeps nobody's findings back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from torch.distributed import Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from aixmeg.errors import UserError
from aixmeg.parallel.launch import Launch

_POLL_SECONDS: Final = 0.05


class Meeting:
    """Words of the ranks, by topic. One thread uses an instance.

    Args:
        here: this rank; rank 0 keeps the store.
        end: `time.monotonic()` until which anything is waited for.
        serve: whether rank 0 opens the store, or looks into the one that it has opened.

    Raises:
        UserError: the store of rank 0 does not answer.
    """

    def __init__(self, here: Launch, *, end: float, serve: bool = True) -> None:
        self._here, self._end = here, end
        left = timedelta(seconds=max(end - time.monotonic(), 1))
        try:
            self.store: Store = TCPStore(
                here.master_addr, here.master_port, here.world_size, serve and here.rank == 0, left, False
            )
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"rank {here.rank} of {here.world_size} cannot reach rank 0 at {here.master_addr}:{here.master_port}: "
                f"{error}; set MASTER_ADDR and MASTER_PORT to an address that every node reaches and a free port"
            ) from error

    def say(self, topic: str, word: Any) -> None:
        """Leave a word, of JSON's types, for the others."""
        self.store.set(f"{topic}/{self._here.rank}", json.dumps(word))

    def heard(self, topic: str, *, until: float | None = None) -> dict[int, Any]:
        """Rank → word, of all ranks as soon as all have spoken, or of those who have at `until` (default: the end)."""
        missing: Sequence[int] = range(self._here.world_size)
        while True:
            missing = [rank for rank in missing if not self.store.check([f"{topic}/{rank}"])]
            if not missing or time.monotonic() > (self._end if until is None else until):
                break
            time.sleep(_POLL_SECONDS)
        spoken = sorted(set(range(self._here.world_size)) - set(missing))
        return {rank: json.loads(self.store.get(f"{topic}/{rank}")) for rank in spoken}
