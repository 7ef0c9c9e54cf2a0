"""What the resolvers share: the files of a repository by place and by name."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence


def path_order(paths: Sequence[str], shuffle: dict[str, float] | None = None) -> list[int]:
    """A permutation in which every folder is contiguous, a folder's own files before its sub-folders.

    Args:
        paths: of the files, with `/`.
        shuffle: number per folder that replaces its name in the order of its siblings.
    """

    def key(index: int) -> list[tuple[int, float, str]]:
        folder, _, name = paths[index].rpartition("/")
        steps: list[tuple[int, float, str]] = []
        place = ""
        for part in folder.split("/") if folder else ():
            place = f"{place}/{part}" if place else part
            steps.append((1, shuffle.get(place, 0.0) if shuffle else 0.0, part))
        return [*steps, (0, 0.0, name)]

    return sorted(range(len(paths)), key=key)


def folders(paths: Iterable[str]) -> set[str]:
    """Every folder that holds a file, directly or not, but the root."""
    found: set[str] = set()
    for path in paths:
        folder = posixpath.dirname(path)
        while folder and folder not in found:
            found.add(folder)
            folder = posixpath.dirname(folder)
    return found


def ancestors(folder: str) -> Iterable[str]:
    """`a/b` → `a/b`, `a`, ``."""
    yield folder
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def join(folder: str, path: str) -> str | None:
    """`path` seen from `folder`, without `.` and `..`; None where it leads out of the repository."""
    joined = posixpath.normpath(f"{folder}/{path}" if folder else path)
    if joined.startswith("../") or joined == "..":
        return None
    return "" if joined == "." else joined


class Places:
    """The files of a repository by path, and by the last parts of it."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.at = {path: index for index, path in enumerate(paths)}
        self._by_name: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            self._by_name.setdefault(path.rpartition("/")[2], []).append(index)
        self._known: dict[str, list[int]] = {}

    def ending(self, path: str) -> list[int]:
        """The files whose path is `path` or ends with `/path`."""
        known = self._known.get(path)
        if known is None:
            suffix = f"/{path}"
            named = self._by_name.get(path.rpartition("/")[2], ())
            known = [index for index in named if self.paths[index] == path or self.paths[index].endswith(suffix)]
            self._known[path] = known
        return known

    def nearest(self, path: str, place: str) -> int | None:
        """Of the files ending with `path` the one that shares the most folders with `place`, then the shortest."""
        found = self.ending(path)
        if len(found) < 2:
            return found[0] if found else None
        return min(found, key=lambda index: (-_shared(self.paths[index], place), len(self.paths[index]), index))


def _shared(one: str, other: str) -> int:
    """Number of leading folders in common."""
    count = 0
    for left, right in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if left != right:
            break
        count += 1
    return count
