"""A disk that refuses large files, for the length of a block: pytest's own output may be a large file too."""

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """Writes past `limit` bytes of a file fail in the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
