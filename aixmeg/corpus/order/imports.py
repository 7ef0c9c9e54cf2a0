"""What a file imports, read from its syntax tree in the clean phase, as short strings that `resolve` understands.

python            `a.b` for `import a.b`; `a.b:c` for `from a.b import c`, with its leading dots
javascript & co   the module string of import, export … from, require(), import()
java              `a.b.C`, `a.b.*`; the last name of a static import is its member
c, c++            `"x.h"` or `<x.h>`
go                the import path
rust              `mod name` for a module in a file of its own, `use crate::a::b` with its groups unfolded
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from aixmeg.corpus.document import Document
from aixmeg.syntax import SyntaxTree

MAX_IMPORTS: Final = 4096
"""Kept of one file; a generated file may import without end."""
_MAX_BYTES: Final = 8192
"""Longest import statement that is read."""

_COMMENT = re.compile(r"#[^\n]*")
_PYTHON_FROM = re.compile(r"from\s*([.\w\s]*?)\s*\bimport\b\s*\(?(.*?)\)?\s*$", re.DOTALL)
_CALL = re.compile(rb"\b(?:require|import)\s*\(\s*(?:'([^'\n]+)'|\"([^\"\n]+)\"|`([^`\n$]+)`)\s*\)")
_MODULE = re.compile(r"""^(?:import|export)\b(?:[^'"();]*\bfrom\b|[^'"();]*=\s*require\s*\()?\s*['"]([^'"\n]+)['"]""")
_INCLUDE = re.compile(r'#\s*(?:include|include_next|import)\s*("[^"\n]+"|<[^>\n]+>)')


def imports_of(document: Document) -> list[str]:
    """The imports of a file, each once, in order of appearance; empty for a language without a rule.

    Raises:
        Dropped: the file cannot be parsed within its bound.
    """
    read = _READERS.get(document.language)
    if read is None:
        return []
    found = dict.fromkeys(read(document.tree()))
    return list(found)[:MAX_IMPORTS]


def _statements(tree: SyntaxTree, *kinds: str) -> Iterator[str]:
    """The text of every node of these kinds, in document order."""
    for index in np.flatnonzero(_mask(tree.kinds, kinds)[tree.kind]).tolist():
        start, end = int(tree.start[index]), int(tree.end[index])
        if end - start <= _MAX_BYTES:
            yield tree.source[start:end].decode(errors="replace")


@functools.lru_cache(maxsize=256)
def _mask(names: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    """bool [kinds of the grammar]: a grammar may give one name to several of its kinds."""
    return np.array([name in wanted for name in names])


def _python(tree: SyntaxTree) -> Iterator[str]:
    for text in _statements(tree, "import_statement", "import_from_statement"):
        plain = _COMMENT.sub("", text).replace("\\\n", " ").replace("\\\r\n", " ")
        if match := _PYTHON_FROM.match(plain):
            module = "".join(match[1].split())
            for part in match[2].split(","):
                if name := part.split():
                    yield f"{module}:{name[0]}"
        elif plain.startswith("import"):
            for part in plain.removeprefix("import").split(","):
                if name := part.split():
                    yield name[0]


def _javascript(tree: SyntaxTree) -> Iterator[str]:
    found: list[tuple[int, str]] = []
    statements = _mask(tree.kinds, ("import_statement", "export_statement"))[tree.kind]
    for index in np.flatnonzero(statements).tolist():
        start, end = int(tree.start[index]), int(tree.end[index])
        if end - start > _MAX_BYTES:  # an exported class
            continue
        text = tree.source[start:end].decode(errors="replace")
        if match := _MODULE.search(text):
            found.append((start, match[1]))
    if matches := list(_CALL.finditer(tree.source)):
        calls = tree.start[_mask(tree.kinds, ("call_expression",))[tree.kind]]
        for match in matches:  # in a comment or a string no call begins there
            place = int(np.searchsorted(calls, match.start()))
            if place < len(calls) and calls[place] == match.start():
                text = next(group for group in match.groups() if group is not None)
                found.append((match.start(), text.decode(errors="replace")))
    return (text for _, text in sorted(found))


def _java(tree: SyntaxTree) -> Iterator[str]:
    for text in _statements(tree, "import_declaration"):
        words = re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL).strip(" ;\n\r\t").split()
        if words[:1] == ["import"]:
            static = words[1:2] == ["static"]
            name = "".join(words[2 if static else 1 :])
            if static:
                name = name.rpartition(".")[0]
            if name:
                yield name


def _c(tree: SyntaxTree) -> Iterator[str]:
    for text in _statements(tree, "preproc_include"):
        if match := _INCLUDE.match(text):
            yield match[1]


def _go(tree: SyntaxTree) -> Iterator[str]:
    for text in _statements(tree, "import_spec"):
        if match := re.search(r"[\"`]([^\"`\n]+)[\"`]", text):
            yield match[1]


def _rust(tree: SyntaxTree) -> Iterator[str]:
    for text in _statements(tree, "use_declaration", "mod_item", "extern_crate_declaration"):
        plain = re.sub(r"//[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL)
        plain = re.sub(r"^\s*pub\s*(\([^)]*\))?\s*", "", plain)
        if match := re.match(r"mod\s+(?:r#)?(\w+)\s*;", plain):
            yield f"mod {match[1]}"
        elif match := re.match(r"use\s+(.*?);?\s*$", plain, re.DOTALL):
            for path in _unfold("".join(re.sub(r"\bas\s+\w+", "", match[1]).split())):
                yield f"use {path}"


def _unfold(tree: str) -> Iterator[str]:
    """`a::{b,c::{d,self}}` → `a::b`, `a::c::d`, `a::c`; without recursion, and at most MAX_IMPORTS of them."""
    stack, made = [("", tree)], 0
    while stack and made < MAX_IMPORTS:
        prefix, rest = stack.pop()
        head, brace, body = rest.partition("{")
        if not brace:
            made += 1
            yield (prefix + rest).removesuffix("::self").removesuffix("::")
            continue
        parts = _split_group(body)
        stack += [(prefix + head, part) for part in reversed(parts) if part]


def _split_group(body: str) -> list[str]:
    """The parts of a group whose opening brace is behind us, split at its own commas."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(body):
        if letter == "{":
            depth += 1
        elif letter == "}":
            if depth == 0:
                return [*parts, body[start:place]]
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(body[start:place])
            start = place + 1
    return [*parts, body[start:].rstrip("}")]


_READERS: Final[dict[str, Callable[[SyntaxTree], Iterator[str]]]] = {
    "python": _python,
    "javascript": _javascript,
    "typescript": _javascript,
    "tsx": _javascript,
    "jsx": _javascript,
    "java": _java,
    "c": _c,
    "c++": _c,
    "cuda": _c,
    "objective-c": _c,
    "objective-c++": _c,
    "go": _go,
    "rust": _rust,
}
"""Language → reader."""
