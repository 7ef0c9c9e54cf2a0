"""The table of languages and the rule that names a file's language.

`languages.json` holds, per language, the extensions and header comments that aiXcoder-7B was trained with (taken as
they are published, oddities included, so that prompts match), more extensions that its table lacks (`.mjs`, `.pyi`) and
the name of our grammar, null where tree-sitter-language-pack 0.13.0 has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import MappingProxyType

from aixmeg.errors import UserError


@dataclass(frozen=True)
class Language:
    """One row of the table."""

    name: str
    """Key in the table, in lower case: `python`, `c++`."""
    extensions: tuple[str, ...]
    """Endings of a file name (`.py`, `.cmake.in`); without a leading dot, whole file names (`Makefile`)."""
    path_comment: str | None
    """Comment whose `{}` stands for `the file path is: PATH`."""
    language_line: str | None
    """Comment that names the language."""
    grammar: str | None
    """Name of the tree-sitter grammar; None where there is none."""
    more_extensions: tuple[str, ...] = ()
    """Endings that the published table lacks."""


def _read_table() -> Mapping[str, Language]:
    rows = json.loads(Path(__file__).with_name("languages.json").read_text(encoding="utf-8"))
    tuples = ("extensions", "more_extensions")
    for row in rows.values():
        row |= {key: tuple(row.get(key, ())) for key in tuples}
    return MappingProxyType({name: Language(name=name, **row) for name, row in rows.items()})


LANGUAGES: Mapping[str, Language] = _read_table()  # 105 rows, a third of a millisecond

_BY_ENDING = {
    ending: language for language in LANGUAGES.values() for ending in (*language.extensions, *language.more_extensions)
}


def ending_of(path: str | PurePath) -> str | None:
    """The part of a path by which the table lists it (`.py`, `.cmake.in`, `Makefile`); None when it does not.

    The longest listed ending wins (`x.cmake.in`), in the file's own case first (`.C` is C++, `.c` is C) and then in
    lower case (`X.PY`).
    """
    name = path.rpartition("/")[2] if isinstance(path, str) else path.name
    for candidate in (name, name.lower()):
        if candidate in _BY_ENDING:
            return candidate
        start = candidate.find(".")
        while start >= 0:
            if (ending := candidate[start:]) in _BY_ENDING:
                return ending
            start = candidate.find(".", start + 1)
    return None


def language_of(path: str | PurePath) -> Language | None:
    """The language of a file by its name alone; None when the table does not list it.

    `.h` is C++, as in the published table; see `content.language_by_content` for what a file's text tells.
    """
    ending = ending_of(path)
    return None if ending is None else _BY_ENDING[ending]


def canonical(name: str) -> Language:
    """The language that files are given for a name of the table: `cpp` and `c++` are both `c++`.

    Raises:
        UserError: `name` is not in the table.
    """
    language = LANGUAGES.get(name.lower())
    if language is None:
        raise UserError(f"unknown language {name!r}; choose among: {', '.join(sorted(LANGUAGES))}")
    if language.extensions or language.more_extensions:
        return language
    # The table repeats some languages under a second name, with no extensions and the same language line.
    twins = (other for other in LANGUAGES.values() if other.extensions or other.more_extensions)
    return next((other for other in twins if other.language_line == language.language_line), language)
