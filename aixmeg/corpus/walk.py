"""Step 1: find files and drop by name, kind and size, without opening any."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aixmeg.config import CorpusConfig
from aixmeg.corpus.reasons import Dropped
from aixmeg.corpus.sources import GENERATED, MACHINE_LANGUAGES, Repository
from aixmeg.corpus.tally import Tally
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, canonical, language_of

_ENVIRONMENT_MARK: Final = "pyvenv.cfg"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that may be kept."""

    repository: str
    path: str
    """Inside the repository, with `/`; valid UTF-8."""
    language: str
    bytes: int
    mtime_ns: int
    """Only to notice that the sources changed between two runs of one job."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the walk keeps."""

    languages: frozenset[str]
    min_bytes: int
    max_bytes: int
    output: str
    """Folder that the corpus is written to, resolved; never entered."""

    @classmethod
    def of(cls, config: CorpusConfig, output: Path) -> Rules:
        """The rules of a configuration.

        Raises:
            UserError: a language is unknown or has no grammar.
        """
        if config.languages:
            languages = frozenset(_with_grammar(name) for name in config.languages)
        elif config.sources:
            languages = frozenset(LANGUAGES)
        else:
            languages = frozenset(MACHINE_LANGUAGES)
        return cls(languages=languages, min_bytes=config.min_file_bytes, max_bytes=config.max_file_bytes,
                   output=str(output.resolve()))  # fmt: skip


def _with_grammar(name: str) -> str:
    language = canonical(name)
    if language.grammar is None:
        raise UserError(f"corpus.languages holds {name!r}, which has no grammar; choose among: "
                        f"{', '.join(sorted(key for key, row in LANGUAGES.items() if row.grammar))}")  # fmt: skip
    return language.name


def walk(repository: Repository, rules: Rules, tally: Tally) -> list[Candidate]:
    """The candidates of a repository in path order; everything else it holds is counted in `tally`."""
    found = []
    for entry in sorted(_files(repository, rules, tally), key=lambda one: one.path):
        relative = os.path.relpath(entry.path, repository.root)
        size = mtime_ns = 0
        try:
            status = None if entry.is_symlink() else entry.stat(follow_symlinks=False)
            if status is not None and stat.S_ISREG(status.st_mode):
                size, mtime_ns = status.st_size, status.st_mtime_ns
            path = _utf8(relative)
            language = _check(path, status, rules)
            found.append(Candidate(repository.name, path, language, size, mtime_ns))
        except Dropped as drop:
            tally.drop(
                drop.reason, size, f"{repository.name}/{os.fsencode(relative).decode(errors='backslashreplace')}"
            )
        except OSError:  # it disappeared, or the folder may be listed and not entered
            tally.drop("unreadable", 0, f"{repository.name}/{relative}")
        tally.found.add(1, size)
    return sorted(found, key=lambda one: one.path)


def _check(path: str, status: os.stat_result | None, rules: Rules) -> str:
    """The name of the language of a file that may be kept."""
    if status is None:
        raise Dropped("symlink")
    if not stat.S_ISREG(status.st_mode):
        raise Dropped("not_a_file")
    language = language_of(path)
    if language is None:
        raise Dropped("unknown_language")
    if language.grammar is None:
        raise Dropped("no_grammar")
    if language.name not in rules.languages:
        raise Dropped("language_not_selected")
    if status.st_size < rules.min_bytes:
        raise Dropped("too_small")
    if status.st_size > rules.max_bytes:
        raise Dropped("too_large")
    return language.name


def _utf8(name: str) -> str:
    try:
        return os.fsencode(name).decode()
    except UnicodeDecodeError:
        raise Dropped("bad_name") from None


def _files(repository: Repository, rules: Rules, tally: Tally) -> Iterator[os.DirEntry[str]]:
    """Everything in a repository that is not a folder; an explicit stack, since folders may be very deep."""
    root = str(repository.root)
    if root == rules.output:
        tally.skip_folder("own_output")
        return
    stack = [root]
    while stack:
        folder = stack.pop()
        try:
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError:  # also a path that is too long
            tally.skip_folder("unreadable")
            continue
        if folder == root and repository.only is not None:
            entries = [entry for entry in entries if entry.name in repository.only]
        elif folder != root and any(entry.name == _ENVIRONMENT_MARK for entry in entries):
            tally.skip_folder("virtual_environment")
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield entry
            elif reason := _skipped(entry, repository, rules):
                tally.skip_folder(reason)
            else:
                stack.append(entry.path)


def _skipped(folder: os.DirEntry[str], repository: Repository, rules: Rules) -> str | None:
    """Why a folder is not entered."""
    if folder.name.startswith("."):
        return "hidden"
    if folder.name in GENERATED:
        return "generated"
    if folder.path == rules.output:
        return "own_output"
    if repository.without and Path(folder.path) in repository.without:
        return "own_repository"
    try:
        _utf8(folder.name)
    except Dropped as drop:
        return drop.reason
    return None
