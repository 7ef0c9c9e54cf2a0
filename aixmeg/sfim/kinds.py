"""What the node kinds of each grammar are: functions, conditions, loops, blocks, comments.

Grammars of one family share their names (`if_statement`, `compound_statement`), so the table below lists names and the
exceptions of single grammars. A structure also needs a body (a child with a body's field or of a block's kind): a name
that means something else in a grammar that nobody looked at is harmless as long as it has none.
tests/unit/sfim/shape_samples.py holds a source text for each grammar that was looked at.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np

FUNCTION: Final = 1
CLASS: Final = 2
IF: Final = 4
FOR: Final = 8
WHILE: Final = 16
TRY: Final = 32
SWITCH: Final = 64
BLOCK: Final = 128
"""The body of a structure."""
COMMENT: Final = 256
CLOSURE: Final = 512
"""A function without a name."""
SIGNATURE: Final = 1024
"""A function's head whose body is the next sibling."""
LOOP: Final = 2048
"""A loop that its first word tells: `for` or `while`."""
LIST: Final = 4096
"""A mere sequence of statements: alone in a block, it stands for it."""
OPEN: Final = 8192
"""Token at the start of a block."""
CLOSE: Final = 16384
FRAMED: Final = 32768
"""Its first and last child are its head and its end, all between them its body."""
NEEDS_PARAMETER: Final = 65536
"""A function only if it has one: OCaml's `let`."""
PARAMETER: Final = 131072
STRUCTURE: Final = FUNCTION | CLASS | IF | FOR | WHILE | TRY | SWITCH | CLOSURE | LOOP

_NAMED: Final = {
    FUNCTION: """function_definition function_declaration function_item generator_function_declaration method_definition
        method_declaration constructor_declaration constructor_definition compact_constructor_declaration
        destructor_declaration local_function_statement operator_declaration conversion_operator_declaration method
        singleton_method subroutine_declaration_statement method_declaration_statement function_statement defProc
        function_def macro_def procedure subprogram_body fun_decl fallback_receive_definition modifier_definition
        yul_function_definition secondary_constructor init_declaration deinit_declaration function_body_declaration
        task_body_declaration function_or_value_defn""",
    CLASS: """class_definition class_declaration class_specifier class struct_specifier struct_item struct_declaration
        union_specifier enum_specifier enum_item enum_declaration interface_declaration record_declaration trait_item
        impl_item mod_item trait_declaration object_definition trait_definition enum_definition object_declaration
        module namespace_definition namespace_declaration contract_declaration library_declaration protocol_declaration
        abstract_class_declaration internal_module singleton_class companion_object mixin_declaration
        extension_declaration package_body declClass class_implementation class_interface service message""",
    IF: "if_statement if_expression if ifElse if_condition IfStatement if_expr if_else_expr unless unless_statement",
    FOR: """for_statement for_in_statement for_each_in_statement enhanced_for_statement foreach_statement for_range_loop
        for_expression for foreach foreach_loop c_style_for_statement cstyle_for_statement do_loop_statement
        ForStatement for_loop""",
    WHILE: "while_statement while_expression while while_loop WhileStatement until until_statement",
    TRY: "try_statement try_expression try try_expr try_with_resources_statement seh_try_statement",
    SWITCH: """switch_statement switch_expression expression_switch_statement type_switch_statement select_statement
        match_statement match_expression when_expression select_case_statement case_expression case_expr case_of_expr
        SwitchExpr""",
    BLOCK: """block statement_block compound_statement function_body body_statement control_structure_body do_group
        braced_expression handled_sequence_of_statements body script_block Block BlockExpr braced_word class_body
        declaration_list enum_body interface_body template_body switch_body switch_block match_block case_block
        field_declaration_list enumerator_list contract_body statements block_statement then do do_clause then_clause
        match_body enum_class_body protocol_body enum_member_declaration_list enum_variant_list field_declaration_list
        extension_body clause_body""",
    CLOSURE: """arrow_function function_expression lambda_expression closure_expression func_literal lambda_literal
        anonymous_method_expression anonymous_function anonymous_subroutine_expression generator_function""",
    LIST: "statement_list statements script_block_body block sequence sequence_of_statements statement BlockExpr Block",
    OPEN: "{ do begin then loop kBegin",
    CLOSE: "} end done kEnd",
}  # fmt: skip
_MORE: Final = {
    "ada": {SWITCH: "case_statement", LOOP: "loop_statement"},
    "bash": {SWITCH: "case_statement"},
    "dart": {SIGNATURE: "method_signature function_signature"},
    "fortran": {FUNCTION | FRAMED: "function subroutine"},
    "ocaml": {FUNCTION | NEEDS_PARAMETER: "let_binding", PARAMETER: "parameter"},
    "pascal": {SWITCH: "case"},
    "perl": {IF: "conditional_statement", LOOP: "loop_statement"},
    "ruby": {TRY: "begin", SWITCH: "case"},
    "swift": {TRY: "do_statement"},
    "verilog": {IF: "conditional_statement", LOOP: "loop_statement", SWITCH: "case_statement"},
    "vhdl": {SWITCH: "case_statement", LOOP: "loop_statement"},
    "zig": {FUNCTION: "Decl"},
}
_NOT: Final = {
    "cmake": {IF: "if", FOR: "foreach", WHILE: "while"},  # the words themselves
    "rust": {TRY: "try_expression"},  # `x?`
    "swift": {TRY: "try_expression"},  # `try call()`
    "ocaml": {CLASS: "class_definition"},
}
BODY_FIELDS: Final = frozenset({"body", "consequence", "block", "then"})
_COMMENT: Final = re.compile(r"(?:.*_)?(?i:comment)s?|comment_(?:content|environment)|nested_comment")


class Roles:
    """The table of one grammar: a look-up by kind and by field."""

    def __init__(self, grammar: str, kinds: tuple[str, ...], fields: tuple[str, ...]) -> None:
        by_name: dict[str, int] = {}
        for table, sign in ((_NAMED, 1), (_MORE.get(grammar, {}), 1), (_NOT.get(grammar, {}), -1)):
            for role, names in table.items():
                for name in names.split():
                    old = by_name.get(name, 0)
                    by_name[name] = old | role if sign > 0 else old & ~role
        roles = [by_name.get(kind, 0) | (COMMENT if _COMMENT.fullmatch(kind) else 0) for kind in kinds]
        self.of_kind = roles
        """By kind; of unnamed nodes OPEN and CLOSE alone hold."""
        self.is_body = [field in BODY_FIELDS for field in fields]
        """By field."""
        self.kinds = kinds
        self._columns: dict[int, np.ndarray] = {}

    def with_any(self, mask: int) -> np.ndarray:
        """Which kinds have one of the roles in `mask`: bool [kinds]."""
        found = self._columns.get(mask)
        if found is None:
            found = self._columns[mask] = np.array(self.of_kind) & mask != 0
        return found


_made: dict[str, Roles] = {}


def roles_of(grammar: str, kinds: tuple[str, ...], fields: tuple[str, ...]) -> Roles:
    """The roles of a tree's kinds; made once per process and grammar."""
    found = _made.get(grammar)
    if found is None or found.kinds is not kinds:
        found = _made[grammar] = Roles(grammar, kinds, fields)
    return found
