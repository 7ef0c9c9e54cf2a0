"""tree-sitter parsers by language."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from aixmeg.errors import UserError
from aixmeg.languages.table import LANGUAGES, Language

if TYPE_CHECKING:
    from tree_sitter import Parser


def parser(language: Language) -> Parser:
    """The parser of a language, made once per process. A parser is not for two threads at a time.

    Raises:
        UserError: the language has no grammar, or the installed grammars cannot be loaded.
    """
    if language.grammar is None:
        known = ", ".join(sorted(name for name, other in LANGUAGES.items() if other.grammar))
        raise UserError(f"there is no grammar for {language.name}; languages with one: {known}")
    return _load(language.grammar)


@functools.cache
def _load(grammar: Any) -> Parser:
    try:
        from tree_sitter_language_pack import get_parser

        return get_parser(grammar)
    except (ImportError, LookupError, ValueError) as error:  # ValueError: a grammar of another ABI
        raise UserError(
            f"the tree-sitter grammar {grammar!r} cannot be loaded ({error}); "
            "install tree-sitter>=0.25 and tree-sitter-language-pack==0.13.0"
        ) from error
