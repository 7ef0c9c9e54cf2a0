"""Loads the compiled helpers, once per process."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError

VERSION: Final = 2
"""Of csrc/data/version.cpp."""
SYNTAX_VERSION: Final = 5
"""Of csrc/syntax/parse.c."""
_BUILD: Final = "python setup.py build_ext --inplace"


@functools.cache
def data_library() -> ctypes.CDLL:
    """`_data.so`. Its functions release the GIL; each wrapper module declares the types of the ones it calls.

    Raises:
        UserError: it is not built, does not load, or is of another version of the sources.
    """
    path = Path(__file__).with_name("_data.so")
    if not path.exists():
        raise UserError(f"the compiled helpers are missing ({path}); build them in the source folder: {_BUILD}")
    library = _load(path)
    _check(path, library.aixmeg_data_version(), VERSION)
    return library


@functools.cache
def syntax_library() -> ctypes.CDLL | None:
    """`_syntax.so`, or None where it is not built, or for another release of tree-sitter than the installed one: then
    syntax trees are walked in Python, with equal results, slower.

    Raises:
        UserError: it does not load, or is of another version of the sources.
    """
    path = Path(__file__).with_name("_syntax.so")
    if not path.exists():
        return None
    library = _load(path)
    _check(path, library.aixmeg_syntax_version(), SYNTAX_VERSION)
    library.aixmeg_syntax_core.restype = ctypes.c_char_p
    # The bound of steps counts what the core does, so two releases of it may drop different files.
    if library.aixmeg_syntax_core().decode() != importlib.metadata.version("tree-sitter"):
        return None
    return library


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise UserError(f"the compiled helpers do not load ({error}); build them again: {_BUILD}") from error


def _check(path: Path, found: int, wanted: int) -> None:
    if found != wanted:
        raise UserError(f"{path} is version {found}, the sources are version {wanted}; build it again: {_BUILD}")
