"""One rank's look at its node, its device and the network.

The work is done in a thread of its own, because any of it may hang on a bad node; the main thread speaks at the end.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]

from aixmeg.errors import UserError
from aixmeg.health.exercise import multiply, reduce_all, right_from_neighbour
from aixmeg.health.meeting import Meeting
from aixmeg.health.node import Problem, check_node
from aixmeg.health.verdict import Report, Words
from aixmeg.nvml import open_nvml
from aixmeg.parallel import launch
from aixmeg.parallel.launch import Launch

_GRACE: Final = 3.0
"""Seconds after the end in which ranks say that they still answer, and in which rank 0 lets them leave."""
_LOOK, _PRODUCT, _MEETING, _SUM = "the look at its GPUs", "a matrix product", "the meeting", "an all-reduce"
"""What a rank begins. In the last two it waits for others."""
Note = Callable[[Sequence[Problem], str | None], None]


class Look:
    """What one rank does and finds.

    Args:
        here: this rank.
        node: the node's name.
        gpus: GPUs that a node must have; None takes what is there.
        seconds: how long ranks wait for each other, from now on.
        note: keeps problems, and what has been begun (None when nothing that this node answers for is open).
    """

    def __init__(self, here: Launch, node: str, *, gpus: int | None, seconds: float, note: Note) -> None:
        self._here, self._node, self._gpus, self._seconds, self._note = here, node, gpus, seconds, note
        self._end = time.monotonic() + seconds
        self._problems: list[Problem] = []
        self._begun = _MEETING
        self._report: Report | None = None
        self._unmet: UserError | None = None
        self._meeting: Meeting | None = None  # kept to the end: on rank 0 it is the store itself
        self.bandwidth: float | None = None
        """Of the all-reduce, GB/s."""
        self._thread = threading.Thread(target=self._work, daemon=True)

    def take(self) -> Words | None:
        """Look; on rank 0 what all ranks have said, on the others None."""
        self._thread.start()
        self._thread.join(self._seconds)
        if self._report is not None or self._begun == _MEETING:
            self._note(self._problems, None)  # what is still open is not this rank's to answer for
        if self._here.world_size == 1:
            reports = {} if self._report is None else {0: self._report}
            return Words(ranks=1, seconds=self._seconds, nodes={0: self._node}, reports=reports)
        if self._here.rank == 0:
            return self._heard()
        if self._thread.is_alive() and self._unmet is None:
            answer = threading.Thread(target=self._answer, daemon=True)
            answer.start()
            answer.join(_GRACE)
        return None

    def leave(self, message: str) -> None:
        """End the process where something hangs in it, else raise if there is a message.

        Raises:
            UserError: the message, or that rank 0 could not be reached.
        """
        if self._unmet is not None and not message:
            message = str(self._unmet)
        if self._thread.is_alive():
            if message:
                print(f"aixmeg: {message}", file=sys.stderr)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(2 if message else 0)
        if message:
            raise UserError(message)

    def _work(self) -> None:
        """In the thread: node, device, network."""
        try:
            if self._here.world_size > 1:
                self._begin(_MEETING)
                self._meeting = Meeting(self._here, end=self._end)
                self._meeting.say("node", self._node)
            self._begin(_LOOK)
            self._report = self._look_here()
            if self._meeting is not None:
                self._meeting.say("report", dataclasses.asdict(self._report))
                self._begin(_SUM)
                self._look_around(self._meeting)
        except UserError as error:
            self._unmet = error
        except Exception as error:  # also what torch and CUDA raise
            if self._report is None:
                self._failed(error)
            print(f"aixmeg: rank {self._here.rank}: {self._begun}: {error}", file=sys.stderr)
            if self._meeting is not None:
                self._answer()

    def _failed(self, error: Exception) -> None:
        """The node or the device could not even be looked at."""
        what = f"{self._begun} failed: {type(error).__name__}: {error}"
        self._problems.append(Problem(where="node", what=what, remedy="look into the node's system log"))
        self._report = Report(
            node=self._node, rank=self._here.rank, gpus=[], problems=list(self._problems), tflops=0, device="none"
        )
        self._note(self._problems, None)
        if self._meeting is not None:
            self._meeting.say("report", dataclasses.asdict(self._report))

    def _begin(self, what: str) -> None:
        self._begun = what
        self._note(self._problems, what)

    def _look_here(self) -> Report:
        """The node by NVML, the device by a product."""
        names: list[str] = []
        if self._here.local_rank == 0:
            with open_nvml() as nvml:
                self._problems += check_node(nvml, expected=self._gpus)
                names = [gpu.name for gpu in nvml.gpus]
        self._begin(_PRODUCT)
        device = self._here.device
        product = multiply(device)
        if not product.right:
            where = f"GPU {self._here.local_rank}" if device.type == "cuda" else "CPU"
            self._problems.append(
                Problem(where=where, what="a matrix product is wrong", remedy="take the node out of service")
            )
        return Report(
            node=self._node, rank=self._here.rank, gpus=names, problems=list(self._problems), tflops=product.tflops,
            device=device.type,
        )  # fmt: skip

    def _look_around(self, meeting: Meeting) -> None:
        """An all-reduce; where a sum is wrong, each link by itself."""
        # Longer than the look: torch ends the process of a collective that takes longer, and this one has to speak.
        patience = timedelta(seconds=max(self._end - time.monotonic(), 0) + 60)
        launch.start(self._here, timeout=patience, store=PrefixStore("group", meeting.store))
        try:
            reduction = reduce_all(self._here.device)
            self.bandwidth = reduction.gigabytes_per_second
            meeting.say("sum", reduction.right)
            if not all(meeting.heard("sum").values()):
                meeting.say("link", right_from_neighbour(self._here.device))
                meeting.heard("link")
        finally:
            launch.stop()
        meeting.say("left", True)

    def _answer(self) -> None:
        try:
            Meeting(self._here, end=time.monotonic() + _GRACE, serve=False).say("answer", True)
        except Exception as error:  # rank 0 is gone, and with it who would hear
            print(f"aixmeg: rank {self._here.rank} cannot answer rank 0: {error}", file=sys.stderr)

    def _heard(self) -> Words | None:
        """On rank 0: what there is to hear, at once where all has gone well."""
        if self._unmet is not None:
            return None
        late = max(self._end, time.monotonic()) + _GRACE
        meeting = Meeting(self._here, end=time.monotonic() + _GRACE, serve=False)
        sums = meeting.heard("sum", until=0)
        answering: Mapping[int, Any] = {}
        if len(sums) < self._here.world_size:
            meeting.say("answer", True)
            answering = meeting.heard("answer", until=late)
            sums = meeting.heard("sum", until=0)
        words = Words(
            ranks=self._here.world_size, seconds=self._seconds, nodes=meeting.heard("node", until=0),
            reports={rank: _report(one) for rank, one in meeting.heard("report", until=0).items()}, sums=sums,
            links=meeting.heard("link", until=0), answering=answering,
        )  # fmt: skip
        meeting.heard("left", until=time.monotonic() + (_GRACE if len(sums) == words.ranks else 0))
        return words


def _report(word: dict[str, Any]) -> Report:
    values: dict[str, Any] = {**word, "problems": [Problem(**one) for one in word["problems"]]}
    return Report(**values)
