"""Language by content, where the file name alone does not tell it: `.h`, `.m`, `.pl`, scripts without an extension.

Each ambiguous ending has a list of rules, tried in order on the beginning of the file; the first that matches decides.
A rule is a pattern of what only one of the candidates writes. Lines are matched from their beginning, which keeps most
comments and strings out.
"""

from __future__ import annotations

import functools
import re
from typing import Final

from aixmeg.languages.ambiguous import AMBIGUOUS
from aixmeg.languages.table import LANGUAGES, Language, canonical, ending_of, language_of

_HEAD: Final = 1 << 15
"""Bytes that are looked at."""


_INTERPRETERS: Final = {
    "python": "python", "pypy": "python", "perl": "perl", "ruby": "ruby", "jruby": "ruby", "node": "javascript",
    "nodejs": "javascript", "deno": "typescript", "bun": "typescript", "ts-node": "typescript", "tsx": "typescript",
    "sh": "shell", "bash": "shell", "dash": "shell", "ash": "shell", "ksh": "shell", "mksh": "shell", "zsh": "shell",
    "csh": "tcsh", "tcsh": "tcsh", "awk": "awk", "gawk": "awk", "mawk": "awk", "nawk": "awk", "php": "php",
    "lua": "lua", "luajit": "lua", "texlua": "lua", "tclsh": "tcl", "wish": "tcl", "expect": "tcl", "r": "r",
    "rscript": "r", "groovy": "groovy", "scala": "scala", "escript": "erlang", "elixir": "elixir", "make": "makefile",
    "julia": "julia", "swipl": "prolog", "osascript": "applescript", "runghc": "haskell", "runhaskell": "haskell",
    "ocaml": "ocaml", "racket": "racket", "guile": "scheme", "sbcl": "common-lisp", "emacs": "emacs-lisp",
    "pwsh": "powershell", "powershell": "powershell", "kotlin": "kotlin", "dart": "dart", "swift": "swift",
}  # fmt: skip
"""Program named behind `#!`, without its version → language."""
_SHEBANG: Final = re.compile(
    rb"\A(?:\xef\xbb\xbf)?#![ \t]*(?:\S*/)?env(?:[ \t]+(?:-\S+|\w+=\S*))*[ \t]+(?:\S*/)?([\w.+-]+)|"
    rb"\A(?:\xef\xbb\xbf)?#![ \t]*(?:\S*/)?([\w.+-]+)"
)
_VERSION: Final = re.compile(r"[-.\d]+$")
SCRIPTS: Final = tuple(sorted({canonical(name).name for name in _INTERPRETERS.values()}))
"""What a file without an extension may be."""
_WHOLE_NAMES: Final = frozenset(
    ending.lower()
    for language in LANGUAGES.values()
    for ending in (*language.extensions, *language.more_extensions)
    if not ending.startswith(".")
)


@functools.cache
def _compiled(ending: str) -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    rules = AMBIGUOUS[ending].rules
    return tuple((name, re.compile(pattern.encode(), re.MULTILINE)) for name, pattern in rules)


@functools.cache
def _candidates(ending: str) -> tuple[str, ...]:
    row = AMBIGUOUS[ending]
    names = [row.default, *(name for name, _ in row.rules)]
    return tuple(dict.fromkeys(name if name.startswith("!") else canonical(name).name for name in names if name))


def candidates(path: str) -> tuple[str, ...]:
    """Names of the languages that a file may be of by its name: none, one, or several that its content tells apart.

    A name that begins with `!` stands for a language that the table does not know (`!coq`).
    """
    name = path.rpartition("/")[2]
    dot = name.find(".")
    if dot < 0 or name.lower() in _WHOLE_NAMES:
        return _of_name(name)
    return _of_ending(name[dot:])


@functools.lru_cache(8192)
def _of_ending(tail: str) -> tuple[str, ...]:
    """`candidates` of any name with this, its first dot and all behind it; few of these make up most of a corpus."""
    return _of_name("x" + tail)


def _of_name(name: str) -> tuple[str, ...]:
    ending = ending_of(name)
    if ending is None:
        if "." not in name and name:
            return SCRIPTS
        ending = _unlisted(name)
        return () if ending is None else _candidates(ending)
    if ending.lower() in AMBIGUOUS and not ending.isupper():  # `.C` and `.H` are C++ in the table
        return _candidates(ending.lower())
    found = language_of(name)
    return () if found is None else (found.name,)


def language_by_content(path: str, content: bytes) -> str | None:
    """Name of the language of a file by its name and content; None if it is of no language in the table."""
    name = path.rpartition("/")[2]
    ending = ending_of(path) or _unlisted(name)
    if ending is None:
        return interpreter(content) if "." not in name else None
    if ending.lower() not in AMBIGUOUS or ending.isupper():
        found = language_of(path)
        return None if found is None else found.name
    head = content[:_HEAD].replace(b"\0", b"")  # as good as ASCII, should it be UTF-16
    if b"\r" in head:
        head = head.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for language, pattern in _compiled(ending.lower()):
        if pattern.search(head):
            return None if language.startswith("!") else canonical(language).name
    default = AMBIGUOUS[ending.lower()].default
    return None if default is None else canonical(default).name


def interpreter(content: bytes) -> str | None:
    """Name of the language of a script by its first line."""
    found = _SHEBANG.match(content[:256])
    if found is None:
        return None
    program = (found[1] or found[2]).decode("ascii", "replace").lower()
    language = _INTERPRETERS.get(program) or _INTERPRETERS.get(_VERSION.sub("", program))
    return None if language is None else canonical(language).name


@functools.cache
def language_named(name: str) -> Language | None:
    """The language that another collection calls `name`: `C++`, `Objective-C`, `Common Lisp`."""
    key = name.strip().lower()
    for form in (key, key.replace(" ", "-"), _OTHER_NAMES.get(key, "")):
        if form in LANGUAGES:
            return canonical(form)
    return None


_OTHER_NAMES: Final = {
    "bash": "shell", "protobuf": "protocol-buffer", "protocol buffers": "protocol-buffer", "f#": "f-sharp",
    "visual basic .net": "vb", "batchfile": "", "objective-c++": "objective-c++", "fortran free form": "fortran",
    "make": "makefile", "viml": "", "golang": "go", "ts": "typescript", "py": "python", "docker": "dockerfile",
}  # fmt: skip


def _unlisted(name: str) -> str | None:
    """The ambiguous ending of a name that the table does not list."""
    start = name.rfind(".")
    ending = name[start:].lower() if start >= 0 else ""
    return ending if ending in AMBIGUOUS else None
