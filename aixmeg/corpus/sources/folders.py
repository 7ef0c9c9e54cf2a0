"""What the sources are: which folders, git repositories, archives and tables, or this machine's own source code."""

from __future__ import annotations

import os
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aixmeg.corpus.sources.git_commands import is_bare, is_file, is_folder
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


_KINDS: Final = {
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"), ".parquet": "parquet",
    **dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".crate"), "tar"),
    **dict.fromkeys((".zip", ".whl", ".jar", ".egg"), "zip"),
}  # fmt: skip
_COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst")
_BESIDE_DATA: Final = (".md", ".txt", ".json", ".crc", ".yaml", ".yml")
"""Endings of what may stand beside the files of a data set."""


@dataclass(frozen=True)
class Repository:
    """A folder whose files belong together, or a part of one; or a bare git repository, archive or table."""

    name: str
    root: Path
    """Paths of its files are relative to this folder."""
    only: tuple[str, ...] | None = None
    """Names directly in `root` that belong to it; None means all."""
    without: tuple[Path, ...] = ()
    """Folders inside it that are repositories of their own."""
    kind: str = "folder"
    """folder, git, tar, zip, jsonl or parquet."""


def repositories(sources: tuple[Path, ...]) -> list[Repository]:
    """What the sources hold, or this machine if there are none, sorted by their unique names.

    A source folder's sub-folders are repositories, and the files directly in it form one more, named after the folder.
    A sub-folder without a `.git` of its own whose sub-folders are git repositories is an owner: `owner/name`. A source
    folder with a `.git` is one repository, a bare one is read by git. A source file is an archive or a table, by its
    ending, and so are the files of a folder that holds nothing else. Where two sources use one name, the name of the
    source is put before it, and the whole path where that is not enough.

    Raises:
        UserError: a source is missing, unreadable, or of no known kind.
    """
    if sources:
        found = [one for source in dict.fromkeys(path.resolve() for path in sources) for one in _of_source(source)]
    else:
        found = list(_of_machine())
    return sorted(_with_unique_names(found), key=lambda one: one.name)


def kind_of_file(path: Path) -> str | None:
    """tar, zip, jsonl or parquet, by the name."""
    name = path.name.lower()
    for ending in _COMPRESSED:
        if name.endswith(ending):
            inner = Path(name.removesuffix(ending)).suffix
            return _KINDS[inner] if inner in (".tar", ".jsonl", ".ndjson") else None
    return _KINDS.get(Path(name).suffix)


def stem_of(path: Path) -> str:
    """A file's name without what tells its kind: `a-1.0` of a-1.0.tar.gz."""
    name = path.name
    for ending in (*_COMPRESSED, *_KINDS):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def _of_source(source: Path) -> Iterator[tuple[Path, Repository]]:
    if _text(str(source)) is None:
        raise UserError(f"the path of the source {os.fsencode(source)!r} is not valid UTF-8; rename or link it")
    if is_file(source):
        yield source.parent, _of_file(source, source.parent)
        return
    folders, others = _entries(source)
    name = _text(source.name) or "root"
    if ".git" in folders or ".git" in others:  # a file in a work tree or submodule
        yield source, Repository(name, source)
    elif is_bare(source):
        yield source, Repository(_mirror(name), source, kind="git")
    elif data := _data_files(source):
        yield from ((source, _of_file(file, source)) for file in data)
    else:
        yield from _of_folder(source, name, folders, others)


def _of_file(path: Path, folder: Path) -> Repository:
    kind = kind_of_file(path)
    if kind is None:
        raise UserError(
            f"the source {path} is of no known kind; give a folder, a git repository, or a file that ends in "
            f"{', '.join(_KINDS)} (.tar and .jsonl may be compressed: {', '.join(_COMPRESSED)})"
        )
    return Repository((path.parent.relative_to(folder) / stem_of(path)).as_posix(), path, kind=kind)


def _of_folder(source: Path, name: str, folders: list[str], others: list[str]) -> Iterator[tuple[Path, Repository]]:
    # Hidden and generated folders, links and badly named ones stay with the loose files: the walk counts them there.
    named = [folder for folder in folders if _is_repository(folder)]
    for folder in named:
        path = source / folder
        if is_bare(path):
            yield source, Repository(_mirror(folder), path, kind="git")
        else:
            yield from ((source, one) for one in _of_owner(path, folder))
    if loose := sorted({*folders, *others} - set(named)):
        yield source, Repository(name, source, tuple(loose))


def _of_owner(path: Path, name: str) -> Iterator[Repository]:
    """One repository, or those of an owner."""
    inner: list[Path] = []
    if not is_folder(path / ".git") and not is_file(path / ".git"):
        with suppress(OSError, UserError):  # the walk counts a folder that cannot be listed
            inner = [path / one for one in _entries(path)[0] if _is_repository(one)]
    own = [one for one in inner if is_folder(one / ".git") or is_bare(one)]
    for one in own:
        bare = is_bare(one)
        yield Repository(f"{name}/{_mirror(one.name) if bare else one.name}", one, kind="git" if bare else "folder")
    if not own or len(own) < len(list(path.iterdir())):
        yield Repository(name, path, without=tuple(own))


def _mirror(name: str) -> str:
    return name.removesuffix(".git") or name


def _data_files(source: Path) -> list[Path]:
    """The archives and tables of a folder that holds nothing else (hidden files and notes set aside), however deep."""
    found: list[Path] = []
    stack = [source]
    while stack:
        folder = stack.pop()
        try:
            folders, others = _entries(folder)
        except UserError:
            return []
        for name in others:
            path = folder / name
            if name.startswith(".") or _text(name) is None or path.is_symlink():
                continue
            if kind_of_file(path) is not None and is_file(path):
                found.append(path)
            elif not name.lower().endswith(_BESIDE_DATA) and name.upper() not in ("LICENSE", "_SUCCESS"):
                return []
        stack += [folder / name for name in folders if not name.startswith(".")]
    return sorted(found)


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
    folders, others = [], []
    try:
        if not folder.exists():
            raise UserError(f"the source {folder} does not exist; give corpus.sources an existing folder or file")
        if not folder.is_dir():
            raise UserError(f"the source {folder} is neither a folder nor a regular file; give corpus.sources another")
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
