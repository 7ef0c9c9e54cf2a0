"""The rules, by what they are about."""

from __future__ import annotations

from aixmeg.corpus.defects.rule import Rule
from aixmeg.corpus.defects.rules import c, java, javascript, python, shared

RULES: tuple[Rule, ...] = (*shared.RULES, *c.RULES, *java.RULES, *javascript.RULES, *python.RULES)
"""Every rule; ids are unique."""
