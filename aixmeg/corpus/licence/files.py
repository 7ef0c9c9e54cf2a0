"""Files that speak for a whole folder: licence texts by their names, and the metadata of packages."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any, Final

from aixmeg.corpus.licence.expression import Expression, Licence, NoExpressionError, joined, parse
from aixmeg.corpus.licence.notices import notice, words_of
from aixmeg.corpus.licence.table import PROPRIETARY, UNRECOGNISED

_STEMS: Final = (
    r"(?:un|mit-?|bsd-?|apache-?|gpl-?|lgpl-?)?licen[sc]es?|copying(?:[._-]?lib|[._-]?lesser)?|copyright|copyleft"
)
_LICENCE_NAME: Final = re.compile(
    rf"(?:[\w-]+[._-])?(?:{_STEMS})(?:[._-][\w.+-]{{1,40}})?"
    r"|(?:mit|bsd|apache|a?gpl|lgpl|mpl)(?:-?[\d.]+)?(?:\.txt|\.md)",
    re.IGNORECASE,
)
_TEXT_ENDING: Final = re.compile(
    r"(?:\.(?:txt|md|markdown|rst|html?|adoc|org|lesser|lib|mit|bsd|apache|gpl\w*|lgpl\w*|asl\d?|al20|epl\w*|mpl\w*|ofl"
    r"|psf|python)|-?[\d.]+|[^.]*)$",
    re.IGNORECASE,
)
_FOLDER: Final = re.compile(r"(?:^|/)licen[sc]es?(?:/|$)", re.IGNORECASE)
_SOURCE_ENDING: Final = re.compile(
    r"\.(?:py|pyi|js|mjs|cjs|ts|tsx|jsx|java|kt|c|h|cc|cpp|hpp|go|rs|rb|php|cs|swift|scala|lua|pl|pm|sh|json|ya?ml|toml"
    r"|xml|css|svg|png|vue|dart|exs?|hs|in|m4|tmpl|template|spdx|csv|proto)$",
    re.IGNORECASE,
)
_NOT_ITS_OWN: Final = re.compile(
    r"third[-_. ]?part|3rd[-_. ]?part|bundled|thirdparty|dependenc|vendored|notices?\b|template|header|fonts?\b|\bdoc",
    re.IGNORECASE,
)

Read = Callable[[str], Iterator[str]]


def is_licence_text(path: str) -> bool:
    """Whether the name is that of a licence: LICENSE, COPYING.LESSER, MIT-LICENSE.txt, licenses/x.txt …"""
    folder, _, name = path.rpartition("/")
    if _SOURCE_ENDING.search(name):
        return False
    if _LICENCE_NAME.fullmatch(name):
        return bool(_TEXT_ENDING.search(name)) and not _NOT_ITS_OWN.search(name)
    return bool(_FOLDER.search(folder)) and bool(re.search(r"\.(?:txt|md|rst)$|^[^.]*$|-[\d.]+$", name, re.IGNORECASE))


def is_package_metadata(path: str) -> bool:
    """Whether a package manager reads the file."""
    return _reader(path) is not None


def speaks_for_folder(path: str) -> bool:
    """Whether the content is wanted for the licence, whatever the language: for `Rules.also_read`."""
    return is_licence_text(path) or is_package_metadata(path)


def folder_of(path: str) -> str:
    """The folder that the file speaks for; licences/ and *.dist-info speak for the one around them."""
    folder = path.rpartition("/")[0]
    parts = folder.split("/") if folder else []
    while parts and re.fullmatch(r"licen[sc]es?|.*\.(?:dist|egg)-info|meta-inf|docs?|debian", parts[-1], re.IGNORECASE):
        parts.pop()
    return "/".join(parts)


def package_licence(path: str, content: bytes) -> Expression | None:
    """What package metadata declare; None if nothing. A name that is not in the table is `UNRECOGNISED`."""
    reader = _reader(path)
    if reader is None:
        return None
    try:
        names = list(reader(content.decode("utf-8", "replace")))
    except (ValueError, RecursionError, AttributeError, TypeError):  # broken JSON or TOML: it declares nothing
        return None
    found = [one for name in names if (one := named(name)) is not None]
    return joined("OR", found)


def named(text: str) -> Expression | None:
    """The licence that a free text field names: an expression, a name, or a few words about one.

    Returns None where the field defers to a file ("SEE LICENSE IN …") or is empty.
    """
    text = text.strip().strip("\"'")
    if not text or re.match(r"see |file:|licen[sc]e$|licen[sc]e\.\w+$|unknown$|none$|dual|other$", text, re.IGNORECASE):
        return None
    known: Expression | None = None
    if len(text) < 400:
        try:
            known = parse(text)
        except NoExpressionError:
            known = None
        if known is not None and _recognised(known):
            return known
    words = words_of(text.encode())
    return notice(words) or notice(f"licensed under the {words} license") or known or Licence(UNRECOGNISED)


def _recognised(expression: Expression) -> bool:
    if isinstance(expression, Licence):
        return expression.kind != "unknown" or expression.id.startswith("LicenseRef-")
    return all(_recognised(one) for one in expression.parts)


def _reader(path: str) -> Read | None:
    name = path.rpartition("/")[2]
    return _READERS.get(name.lower()) or _BY_ENDING.get(name.rpartition(".")[2].lower())


def _json(text: str) -> Iterator[str]:
    tree = json.loads(text)
    if not isinstance(tree, dict):
        return
    for key in ("license", "licence", "licenses"):
        for one in _listed(tree.get(key)):
            value = one.get("type") or one.get("name") if isinstance(one, dict) else one
            if isinstance(value, str):
                yield PROPRIETARY if value.strip() in ("UNLICENSED", "UNLICENCED") else value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _toml(text: str) -> Iterator[str]:
    tree = tomllib.loads(text)
    poetry = tree.get("tool", {}).get("poetry", {})
    for table in (
        tree.get("project", {}),
        poetry,
        tree.get("package", {}),
        tree.get("workspace", {}).get("package", {}),
    ):
        value = table.get("license")
        if isinstance(value, dict):
            value = value.get("text")
        if isinstance(value, str):
            yield value
            return
        if found := list(_of_classifiers("\n".join(map(str, table.get("classifiers", ()))))):
            yield from found
            return


def _of_classifiers(text: str) -> Iterator[str]:
    """Trove classifiers; several are one joined by AND, as their authors do not say that one may choose."""
    found = re.findall(r"License :: (?:OSI Approved :: )?([^\"'\n:]+?)\s*(?:[\"'\n]|$)", text)
    names = [str(one) for name in dict.fromkeys(found) if name != "OSI Approved" and (one := named(name)) is not None]
    if names:
        yield " AND ".join(f"({one})" for one in names)


def _mail(text: str) -> Iterator[str]:
    """PKG-INFO and METADATA: the expression, else the classifiers, else the free text."""
    head = text.split("\n\n", 1)[0]
    for field in ("License-Expression", None, "License"):
        if field is None:
            found = list(_of_classifiers("\n".join(re.findall(r"(?m)^Classifier: (.*)$", head))))
        else:
            found = re.findall(rf"(?m)^{field}: *(.+)$", head)
        if found:
            yield found[0]
            return


def _setup(text: str) -> Iterator[str]:
    if found := re.search(r"(?m)^\s*licen[sc]e\s*=\s*[\"']?([^\"'\n#,]+)", text):
        yield found[1]
    else:
        yield from _of_classifiers(text)


def _pom(text: str) -> Iterator[str]:
    for block in re.findall(r"<licen[sc]es?>(.{0,4000}?)</licen[sc]es?>", text, re.DOTALL)[:1]:
        yield from re.findall(r"<name>\s*(.+?)\s*</name>", block, re.DOTALL)


def _found(pattern: str) -> Read:
    compiled = re.compile(pattern, re.IGNORECASE | re.MULTILINE)

    def read(text: str) -> Iterator[str]:
        for hit in compiled.finditer(text):
            yield from (one.strip(" \"'") for one in hit[1].split(",") if one.strip(" \"'"))

    return read


_READERS: Final[dict[str, Read]] = {
    "package.json": _json, "composer.json": _json, "bower.json": _json, "meta.json": _json, "elm.json": _json,
    "pyproject.toml": _toml, "cargo.toml": _toml, "pkg-info": _mail, "metadata": _mail, "setup.py": _setup,
    "setup.cfg": _setup, "pom.xml": _pom, "description": _found(r"^License: *([^\n|,]+)"),
    "meta.yml": _found(r"^license: *(\S+)"), "dune-project": _found(r"\(license ([^)]+)\)"),
    "meson.build": _found(r"\blicense *: *\[?'([^'\n]+)'"), "build.sbt": _found(r"licenses.*?\(\"([^\"]+)\""),
}  # fmt: skip
_BY_ENDING: Final[dict[str, Read]] = {
    "gemspec": _found(r"\.licen[sc]es? *=? *\[?((?:\s*,?\s*[\"'][^\"'\n]+[\"'])+)"),
    "podspec": _found(r"\.license *= *(?:\{ *:type *=> *)?([\"'][^\"'\n]+)"),
    "cabal": _found(r"^license: *(\S[^\n]*)"), "opam": _found(r"^license: *(\"[^\"\n]+\")"),
    "nuspec": _found(r"<license type=\"expression\">([^<]+)<"), "csproj": _found(r"<PackageLicenseExpression>([^<]+)<"),
}  # fmt: skip
