from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, canonical, language_of


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("a/b.py", "python"),
        ("a.b/setup.PY", "python"),
        ("x.c", "c"),
        ("x.C", "c++"),
        ("x.h", "c++"),
        ("x.tar.cc", "c++"),
        ("config.cmake.in", "cmake"),
        ("a.rest.txt", "restructuredtext"),
        ("sub/Makefile", "makefile"),
        ("Dockerfile", "dockerfile"),
        ("x.tsx", "tsx"),
        ("x.cljs.hl", "clojure"),
        ("x.gitignore", None),
        ("x.in", None),
        ("x.txt", "text"),
        ("py", None),
        ("a.py/README", None),
        ("myMakefile", None),
        ("x.py.orig", None),
        ("x.py~", None),
        ("", None),
        ("x.", None),
    ],
)
def test_language_of(path: str, name: str | None) -> None:
    for form in (path, PurePosixPath(path)):
        found = language_of(form)
        assert (found.name if found else None) == name


def test_table_is_complete_and_unambiguous() -> None:
    assert len(LANGUAGES) == 106  # and plain text
    endings = [ending for language in LANGUAGES.values() for ending in language.extensions]
    assert len(endings) == len(set(endings))
    for name, language in LANGUAGES.items():
        assert language.name == name == name.lower()
        if name == "text":  # aiXcoder's table does not list it, and gives what it does not list no header
            assert language.path_comment is language.language_line is None
            continue
        assert language.path_comment is not None
        assert language.path_comment.count("{}") == 1


def test_every_listed_extension_names_its_language() -> None:
    for language in LANGUAGES.values():
        for ending in language.extensions:
            assert language_of("dir/x" + ending if ending.startswith(".") else "dir/" + ending) is language


@pytest.mark.parametrize(
    ("name", "found"),
    [("cpp", "c++"), ("C++", "c++"), ("csharp", "c#"), ("js", "javascript"), ("c", "c"), ("tcl", "tcl"),
     ("objective-c", "objective-c")],
)  # fmt: skip
def test_canonical(name: str, found: str) -> None:
    assert canonical(name).name == found


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"'pyhton'.*python"):
        canonical("pyhton")
