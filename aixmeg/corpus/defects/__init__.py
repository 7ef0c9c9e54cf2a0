"""Bugs and vulnerabilities by static analysis: rules of our own on the syntax tree, and ruff's for Python."""

from aixmeg.corpus.defects.rules import RULES
from aixmeg.corpus.defects.step import make_step

__all__ = ["RULES", "make_step"]
