"""Syntax trees as arrays: a file is parsed once, and every later question is a look at a few numpy columns."""

from aixmeg.syntax.columns import ERROR, EXTRA, HAS_ERROR, MISSING, NAMED, ParseLimit
from aixmeg.syntax.tree import SyntaxTree, error_share, parse

__all__ = ["ERROR", "EXTRA", "HAS_ERROR", "MISSING", "NAMED", "ParseLimit", "SyntaxTree", "error_share", "parse"]
