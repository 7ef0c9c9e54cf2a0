"""What tar and zip archives share."""

from __future__ import annotations

from pathlib import Path

from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.reading import Reading


def placed(name: str, repository: str, depth: int, stem: str) -> tuple[str, str, str | None]:
    """(repository, path, reason to drop it) of a member.

    `depth` leading folders name the repository. With none, the archive is one, and the folder that most archives wrap
    everything in is left out if it is named after the archive (`name-1.0/` in name-1.0.tar.gz).
    """
    while name.startswith("./"):
        name = name[2:]
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        return repository, name, "unsafe_path"
    folders = name.split("/")
    if ".." in folders:
        return repository, name, "unsafe_path"
    if depth and len(folders) > depth:
        if not name.isascii() and any("\udc80" <= one <= "\udcff" for one in "".join(folders[:depth])):
            return repository, name, "bad_name"
        return "/".join(folders[:depth]), "/".join(folders[depth:]), None
    if not depth and len(folders) > 1 and stem and folders[0].startswith(stem):
        name = "/".join(folders[1:])
    return repository, name, None


def damaged(reading: Reading, repository: str, archive: str, reason: str) -> RawDocument:
    """Stands for all that can no longer be read of an archive."""
    return reading.dropped(repository, Path(archive).name, 0, reason)
