"""What a rule is: data, with an example of code that it hits and one that it does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from aixmeg.corpus.defects.view import View

FAMILIES: Final[dict[str, str]] = {
    "c": "c", "c++": "c",
    "java": "java",
    "javascript": "js", "jsx": "js", "typescript": "js", "tsx": "js",
    "python": "python",
}  # fmt: skip
"""Language → family of rules and examples."""

CALLS: Final = {
    "c": ("call_expression", "argument_list"),
    "java": ("method_invocation", "argument_list"),
    "js": ("call_expression", "arguments"),
    "python": ("call", "argument_list"),
}
"""Family → kind of a call, kind of its arguments."""
NEWS: Final = {"c": "new_expression", "java": "object_creation_expression", "js": "new_expression", "python": ""}
"""Family → kind of an expression that makes an object."""
LITERALS: Final = frozenset(
    {"string_literal", "string", "number_literal", "number", "integer", "float", "true", "false", "null", "none",
     "decimal_integer_literal", "hex_integer_literal", "character_literal", "char_literal", "concatenated_string",
     "null_literal", "class_literal", "raw_string_literal", "regex"}
)  # fmt: skip
"""Kinds of nodes that are constants by their looks; the macros in C's concatenated strings are constants too."""

LITERAL: Final = "literal"
COMPUTED: Final = "computed"
"""An argument that is not a literal: not a constant by its looks."""
Condition = str | re.Pattern[str]


@dataclass(frozen=True)
class Call:
    """A call of one of `names`, whose last part counts: `exec` for `child_process.exec(…)`."""

    names: tuple[str, ...]
    on: str | None = None
    """Pattern that the text before the name must match in full; "" for a plain function."""
    args: Mapping[int, Condition] = field(default_factory=dict)
    """Argument → LITERAL, COMPUTED, or a pattern that its text must match in full; -1 is the last one."""
    new: bool = False
    """`new Name(…)` instead of `name(…)`."""
    count: int | None = None
    """Number of arguments."""


@dataclass(frozen=True)
class Pair:
    """`key: value` in an object, or `key=value` among arguments, or an assignment to something that ends with key."""

    key: str
    value: str
    """Pattern that the value's text must match in full."""


Check = Callable[[View, int], bool]
BinaryCheck = Callable[[View, int, int, int], bool]
"""(view, node, left operand, right operand)."""


@dataclass(frozen=True)
class Node:
    """A node of one of `kinds` for which `check` holds."""

    kinds: tuple[str, ...]
    check: Check
    needs: tuple[str, ...] = ()
    """A file that holds none of these texts is not looked at."""


@dataclass(frozen=True)
class Binary:
    """A binary expression, comparison or assignment with one of these operators, for which `check` holds."""

    operators: tuple[str, ...]
    check: BinaryCheck


Match = Call | Pair | Node | Binary


@dataclass(frozen=True)
class Rule:
    """One kind of defect in the languages of some families."""

    id: str
    says: str
    """One sentence for the table."""
    kind: Literal["bug", "vulnerability"]
    match: Mapping[str, Match]
    """Family → what is looked for."""
    bad: Mapping[str, str]
    """Family → code that it hits."""
    good: Mapping[str, str]
    """Family → like code that it does not hit."""
    cwe: int | None = None
    sure: bool = True
    """Whether a hit is almost always a defect; the others are counted and named in the file's record, never dropped."""

    def languages(self) -> Iterator[str]:
        """The languages that it covers."""
        return (language for language, family in FAMILIES.items() if family in self.match)
