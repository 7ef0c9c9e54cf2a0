"""Programming languages: file name → language, comment syntax of the header lines, tree-sitter grammar."""

from aixmeg.languages.grammar import parser
from aixmeg.languages.header import header_lines
from aixmeg.languages.table import LANGUAGES, Language, canonical, language_of

__all__ = ["LANGUAGES", "Language", "canonical", "header_lines", "language_of", "parser"]
