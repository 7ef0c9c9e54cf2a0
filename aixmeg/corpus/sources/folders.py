"""Which folders are repositories: the user's, or this machine's own source code."""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError

MACHINE_LANGUAGES: Final = ("python", "c", "c++")
"""Kept of this machine's own source code, unless corpus.languages says otherwise."""

GENERATED: Final = frozenset(
    {"__pycache__", "node_modules", "site-packages", "dist-packages", "bower_components", "CMakeFiles"}
)
"""Names of folders with caches and installed dependencies."""

_INSTALLER_ENDINGS: Final = (".dist-info", ".egg-info", ".libs", ".data")
_OURSELVES: Final = "aixmeg"
_EDITABLE: Final = "__editable__"
"""Begins the names of the files that pip makes for editable installs; they hold paths of this machine, so that a clone
in another folder would train on other tokens."""


@dataclass(frozen=True)
class Repository:
    """A folder whose files belong together, or a part of one."""

    name: str
    root: Path
    """Paths of its files are relative to this folder."""
    only: tuple[str, ...] | None = None
    """Names directly in `root` that belong to it; None means all."""
    without: tuple[Path, ...] = ()
    """Folders inside it that are repositories of their own."""


def repositories(sources: tuple[Path, ...]) -> list[Repository]:
    """The repositories of the sources, or of this machine if there are none, sorted by their unique names.

    A source folder's sub-folders are repositories, and the files directly in it form one more, named after the folder.
    A source folder with a `.git` of its own is one repository. Where two sources use one name, the name of the source
    is put before it, and the whole path where that is not enough.

    Raises:
        UserError: a source is missing, not a folder, or unreadable.
    """
    if sources:
        found = [one for source in dict.fromkeys(path.resolve() for path in sources) for one in _of_source(source)]
    else:
        found = list(_of_machine())
    return sorted(_with_unique_names(found), key=lambda one: one.name)


def _of_source(source: Path) -> Iterator[tuple[Path, Repository]]:
    folders, others = _entries(source)
    name = _text(source.name) or "root"
    if ".git" in folders or ".git" in others:  # a file in a work tree or submodule
        yield source, Repository(name, source)
        return
    # Hidden and generated folders, links and badly named ones stay with the loose files: the walk counts them there.
    named = [folder for folder in folders if _is_repository(folder)]
    for folder in named:
        yield source, Repository(folder, source / folder)
    if loose := sorted({*folders, *others} - set(named)):
        yield source, Repository(name, source, tuple(loose))


def _of_machine() -> Iterator[tuple[Path, Repository]]:
    paths = sysconfig.get_paths()
    stdlib = Path(paths["stdlib"]).resolve()
    installed = dict.fromkeys(Path(paths[name]).resolve() for name in ("purelib", "platlib"))
    for root, prefix, modules in [
        (stdlib, "python-stdlib/", "python-stdlib"),
        *((folder, "", "site-packages") for folder in installed if folder.is_dir()),
    ]:
        folders, others = _entries(root)
        for name in folders:
            if name != _OURSELVES and _is_repository(name) and not name.endswith(_INSTALLER_ENDINGS):
                yield from _of_package(root, name, prefix)
        yield root, Repository(modules, root, tuple(name for name in others if not name.startswith(_EDITABLE)))


def _of_package(root: Path, name: str, prefix: str) -> Iterator[tuple[Path, Repository]]:
    """A package; the C and C++ headers that it brings along (numpy/_core/include) are another project's code."""
    found = [folder for pattern in ("include", "*/include") for folder in sorted((root / name).glob(pattern))]
    headers = [folder for folder in found if folder.is_dir() and folder.resolve() == folder]
    yield root, Repository(prefix + name, root, (name,), tuple(headers))
    for folder in headers:
        yield root, Repository(prefix + folder.relative_to(root).as_posix(), folder)


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the sub-folders and of everything else in a folder, each sorted."""
    if not folder.exists():
        raise UserError(f"the source folder {folder} does not exist; give corpus.sources an existing folder")
    if not folder.is_dir():
        raise UserError(f"the source {folder} is not a folder; give corpus.sources the folder that holds it")
    folders, others = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                (folders if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
    except OSError as error:
        raise UserError(f"cannot list the source folder {folder}: {error.strerror}; check its permissions") from error
    return sorted(folders), sorted(others)


def _is_repository(folder: str) -> bool:
    return not folder.startswith(".") and folder not in GENERATED and _text(folder) is not None


def _text(name: str) -> str | None:
    """The name if it is valid UTF-8."""
    try:
        return os.fsencode(name).decode()
    except UnicodeDecodeError:
        return None


def _with_unique_names(found: Iterable[tuple[Path, Repository]]) -> list[Repository]:
    found = list(found)
    names = [one.name for _, one in found]
    longer = [f"{_text(source.name)}/{one.name}" for source, one in found]
    whole = [f"{_text(str(one.root))}/{one.name}" for _, one in found]
    for candidates in (longer, whole):
        count = Counter(names)
        names = [name if count[name] == 1 else other for name, other in zip(names, candidates, strict=True)]
    return [replace(one, name=name) for name, (_, one) in zip(names, found, strict=True)]
