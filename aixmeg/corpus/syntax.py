"""How much of a file does not parse.

tree-sitter always gives a tree. Asking only whether it holds an error would delete 40 % of real C and C++ (macros), so
a file is judged by the share of its bytes inside errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.reasons import Dropped
from aixmeg.languages import LANGUAGES


def make_step(max_error_share: float, by_language: Mapping[str, float] = MappingProxyType({})) -> Step:
    """A step that drops files with more than a share of their bytes inside errors (`syntax_errors`).

    Languages without a grammar pass.

    Args:
        max_error_share: from 0 to 1; 1 lets everything pass that parses within the bound of steps.
        by_language: other limits, by keys of `LANGUAGES`.
    """

    def step(document: Document) -> None:
        if LANGUAGES[document.language].grammar is None:
            return
        if document.tree().error_share > by_language.get(document.language, max_error_share):
            raise Dropped("syntax_errors")

    return step
