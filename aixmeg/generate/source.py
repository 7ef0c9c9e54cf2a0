"""The text around the cursor, from one file and a position or from two files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES, header_lines, language_by_content


@dataclass(frozen=True)
class Surroundings:
    """What stands before and after the text to be written."""

    prefix: str
    suffix: str
    header: str
    """Comment lines that name the path and the language, as in training; empty for an unknown language."""


def from_cursor(file: Path, cursor: str) -> Surroundings:
    """Split `file` at `LINE:COLUMN`, both counted from 1; a column counts characters, a tab is one.

    Raises:
        UserError: the cursor is malformed or outside the file, or the file is not UTF-8 text.
    """
    match = re.fullmatch(r"(\d+):(\d+)", cursor.strip())
    if match is None:
        raise UserError(f"--cursor {cursor!r} is not LINE:COLUMN; write for instance --cursor 12:5")
    line, column = int(match[1]), int(match[2])
    text = read_source(file)
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        count = "1 line" if len(lines) == 1 else f"{len(lines)} lines"
        raise UserError(f"--cursor {cursor}: {file} has {count}; choose a line from 1 to {len(lines)}")
    width = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= width + 1:
        raise UserError(
            f"--cursor {cursor}: line {line} of {file} has {width} characters; choose a column from 1 to {width + 1}"
        )
    offset = sum(len(before) + 1 for before in lines[: line - 1]) + column - 1
    return Surroundings(text[:offset], text[offset:], _header(file, text))


def from_files(prefix_file: Path, suffix_file: Path | None) -> Surroundings:
    """The text before the cursor in one file and, optionally, the text after it in another.

    Raises:
        UserError: a file cannot be read or is not UTF-8 text.
    """
    suffix = "" if suffix_file is None else read_source(suffix_file)
    prefix = read_source(prefix_file)
    return Surroundings(prefix, suffix, _header(prefix_file, prefix + suffix))


def read_source(file: Path) -> str:
    """A text file, byte for byte: line ends are not translated.

    Raises:
        UserError: missing, unreadable, binary, or not UTF-8.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    if b"\0" in content:
        raise UserError(f"{file} is a binary file: byte {content.index(0)} is zero; give a text file")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not UTF-8: byte {error.start} is 0x{content[error.start]:02x} ({error.reason}); "
            "re-encode it, for instance with iconv -t UTF-8"
        ) from error


def _header(file: Path, text: str) -> str:
    """The lines of the language that the corpus would see: of a `.h`, the content tells it."""
    name = language_by_content(file.name, text.encode())
    return "" if name is None else header_lines(LANGUAGES[name], path_in_repository(file))


def path_in_repository(file: Path) -> str:
    """The path as training wrote it, relative to the repository: the nearest parent with a `.git`.

    Outside a repository it is relative to the current folder when it lies below it, else the bare name.
    """
    absolute = file.resolve()
    root = next((parent for parent in absolute.parents if (parent / ".git").exists()), Path.cwd())
    return absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.name
