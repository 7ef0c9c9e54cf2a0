"""tree-sitter parsers by language."""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any, Final

from aixmeg.errors import UserError
from aixmeg.languages.table import LANGUAGES, Language

if TYPE_CHECKING:
    from tree_sitter import Parser

_CAPSULE: Final = b"tree_sitter.Language"


def parser(language: Language) -> Parser:
    """The parser of a language, made once per process. A parser is not for two threads at a time.

    Raises:
        UserError: the language has no grammar, or the installed grammars cannot be loaded.
    """
    return _parser(_grammar(language))


def grammar_address(language: Language) -> int:
    """Address of the grammar's `TSLanguage`, which stays where it is as long as the process lives.

    Raises:
        UserError: the language has no grammar, or the installed grammars cannot be loaded.
    """
    binding = _binding(_grammar(language))
    if isinstance(binding, int):  # grammars made for an older py-tree-sitter
        return binding
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return pointer(binding, _CAPSULE)


def _grammar(language: Language) -> str:
    if language.grammar is None:
        known = ", ".join(sorted(name for name, other in LANGUAGES.items() if other.grammar))
        raise UserError(f"there is no grammar for {language.name}; languages with one: {known}")
    return language.grammar


@functools.cache
def _binding(grammar: Any) -> Any:
    try:
        from tree_sitter_language_pack import get_binding

        return get_binding(grammar)
    except (ImportError, LookupError) as error:
        raise _unloadable(grammar, error) from error


@functools.cache
def _parser(grammar: str) -> Parser:
    binding = _binding(grammar)
    try:
        from tree_sitter import Language as Grammar
        from tree_sitter import Parser

        return Parser(Grammar(binding))
    except (ImportError, ValueError) as error:  # ValueError: a grammar of another ABI
        raise _unloadable(grammar, error) from error


def _unloadable(grammar: str, error: Exception) -> UserError:
    return UserError(
        f"the tree-sitter grammar {grammar!r} cannot be loaded ({error}); "
        "install tree-sitter>=0.26,<0.27 and tree-sitter-language-pack==0.13.0"
    )
