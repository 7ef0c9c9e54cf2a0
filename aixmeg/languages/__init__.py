"""Programming languages: file name → language, comment syntax of the header lines, tree-sitter grammar."""

from aixmeg.languages.content import SCRIPTS, candidates, interpreter, language_by_content, language_named
from aixmeg.languages.grammar import parser
from aixmeg.languages.header import header_lines
from aixmeg.languages.table import LANGUAGES, Language, canonical, language_of

__all__ = ["LANGUAGES", "SCRIPTS", "Language", "candidates", "canonical", "header_lines", "interpreter",
           "language_by_content", "language_named", "language_of", "parser"]  # fmt: skip
