"""Loads the compiled helpers, once per process."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError

VERSION: Final = 1
"""Of csrc/data/version.cpp."""
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
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise UserError(f"the compiled helpers do not load ({error}); build them again: {_BUILD}") from error
    if (found := library.aixmeg_data_version()) != VERSION:
        raise UserError(f"{path} is version {found}, the sources are version {VERSION}; build it again: {_BUILD}")
    return library
