"""Which nodes of a grammar define, assign, branch and repeat, as the `codebleu` package (0.7.0) has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Node kinds of a grammar."""

    assign: tuple[str, ...]
    define: tuple[str, ...]
    increase: tuple[str, ...] = ()
    branch: tuple[str, ...] = ("if_statement", "else")
    loop: str = "for_statement"
    loop_head: str = ""
    """A loop's parts behind a child of this kind are read a second time."""
    each: str = ""
    each_fields: tuple[str, str] = ("", "")
    """Fields with the name and with what is gone through."""
    by_place: bool = False
    """Whether a definition's two children, not its fields, are name and value."""
    keeps: bool = False
    """Whether a condition may always be passed by, even with an `else`."""


_C_LIKE: Final = Rules(
    assign=("assignment_expression",), define=("variable_declarator",), increase=("postfix_unary_expression",),
    loop_head="local_variable_declaration", each="for_each_statement", each_fields=("left", "right"), by_place=True,
)  # fmt: skip
RULES: Final[Mapping[str, Rules]] = {
    "python": Rules(
        assign=("assignment", "augmented_assignment", "for_in_clause"), define=("default_parameter",),
        branch=("if_statement",),
    ),
    "java": Rules(
        assign=("assignment_expression",), define=("variable_declarator",), increase=("update_expression",),
        loop_head="local_variable_declaration", each="enhanced_for_statement", each_fields=("name", "value"),
    ),
    "javascript": Rules(
        assign=("assignment_pattern", "augmented_assignment_expression"), define=("variable_declarator",),
        increase=("update_expression",), loop_head="variable_declaration", keeps=True,
    ),
    "c#": _C_LIKE, "c++": _C_LIKE, "c": _C_LIKE,
}  # fmt: skip
"""By language; the published scorer reads C and C++ by the rules of C#."""
