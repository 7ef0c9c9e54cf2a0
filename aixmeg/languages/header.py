"""The two comment lines that stand before a file's text in every training example."""

from __future__ import annotations

import unicodedata

from aixmeg.languages.table import Language

_BREAKING = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control, lone surrogate, line separator, paragraph separator


def header_lines(language: Language, path: str) -> str:
    r"""Header of a file, each line ending in "\n": the path, then the language, in the language's comment syntax.

    A path that cannot stand in a one-line comment gives no path line: an empty one, one with control characters or
    line separators, or one that would close the comment early (`a*/b.css`). A language without comment forms gives
    an empty string.
    """
    lines = [_path_line(language.path_comment, path), language.language_line]
    return "".join(f"{line}\n" for line in lines if line is not None)


def _path_line(comment: str | None, path: str) -> str | None:
    if comment is None or not path:
        return None
    plain = path.isascii() and path.isprintable()  # most are, and this is ten times as fast as the question below
    if not plain and any(unicodedata.category(character) in _BREAKING for character in path):
        return None
    # Not str.format: Delphi's comment is `{{}}`, braces around the text, and a path may hold braces of its own.
    before, _, after = comment.partition("{}")
    if after.strip() and after.strip() in path:
        return None
    return f"{before}the file path is: {path}{after}"
