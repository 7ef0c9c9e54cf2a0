"""One rank, for tests that build models."""

from collections.abc import Iterator

import pytest

from aixmeg.config import ParallelConfig
from aixmeg.parallel import launch
from aixmeg.parallel.topology import Topology


@pytest.fixture(scope="module")
def topology() -> Iterator[Topology]:
    launch.start(launch.discover({}))
    place = Topology.create(ParallelConfig(), seed=1)
    yield place
    place.destroy()
    launch.stop()
