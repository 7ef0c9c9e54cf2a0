"""Bugs that look alike in several languages."""

from __future__ import annotations

from collections.abc import Mapping

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import Check, Node, Rule

BINARY = ("binary_expression",)
ALL = {"c": BINARY, "java": BINARY, "js": BINARY, "python": ("comparison_operator",)}


def _bug(
    rule: str,
    says: str,
    check: Check,
    kinds: Mapping[str, tuple[str, ...]],
    examples: Mapping[str, tuple[str, str]],
    *,
    cwe: int | None = None,
    sure: bool = True,
) -> Rule:
    match = {family: Node(names, check) for family, names in kinds.items()}
    return Rule(rule, says, "bug", match, {family: one[0] for family, one in examples.items()},
                {family: one[1] for family, one in examples.items()}, cwe, sure)  # fmt: skip


def _everywhere(names: tuple[str, ...], *families: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(families, names)


def _alike(bad: str, good: str, *families: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(families, (bad, good))


CURLY = ("c", "java", "js")
RULES: tuple[Rule, ...] = (
    _bug("self-comparison", "A value is compared with itself.", s.compared_with_itself, ALL,
         {**_alike("r = a.b >= a.b;", "r = a.b >= a.c;", *CURLY), "python": ("r = a.b == a.b", "r = a.b == a.c")}, cwe=1025),
    _bug("same-operands-of-logic", "Both operands of a logical operator are the same.", s.same_operands,
         {**_everywhere(BINARY, *CURLY), "python": ("boolean_operator",)},
         {**_alike("r = a && a;", "r = a && b;", *CURLY), "python": ("r = a and a", "r = a and b")}, cwe=1025),
    _bug("same-operands-of-arithmetic", "A value is subtracted from, or divided by, itself.", s.same_terms,
         {**_everywhere(BINARY, *CURLY), "python": ("binary_operator",)},
         {**_alike("r = size / size;", "r = size / count;", *CURLY), "python": ("r = size - size", "r = size - 1")}, cwe=682),
    _bug("same-operands-of-bits", "Both operands of a bit operator are the same.", s.same_bits,
         {**_everywhere(BINARY, *CURLY), "python": ("binary_operator",)},
         {**_alike("r = mask | mask;", "r = mask | other;", *CURLY), "python": ("r = mask & mask", "r = mask & other")}, cwe=682),
    _bug("self-assignment", "A variable is assigned to itself.", s.assigned_to_itself,
         {**_everywhere(("assignment_expression",), *CURLY), "python": ("assignment",)},
         {**_alike("a = a;", "a = b;", *CURLY), "python": ("self.a = self.a", "self.a = a")}, cwe=1164),
    _bug("identical-branches", "Both branches of an if are the same.", s.branches_agree,
         _everywhere(("if_statement",), *CURLY, "python"),
         {**_alike("if (a) { f(1); } else { f(1); }", "if (a) { f(1); } else { f(2); }", *CURLY),
          "python": ("if a:\n    f(1)\nelse:\n    f(1)\n", "if a:\n    f(1)\nelse:\n    f(2)\n")}, cwe=561, sure=False),
    _bug("repeated-condition", "A later branch tests what an earlier one has tested.", s.condition_repeats,
         _everywhere(("if_statement",), *CURLY, "python"),
         {**_alike("if (a == 1) { f(); } else if (a == 1) { g(); }", "if (a == 1) { f(); } else if (a == 2) { g(); }", *CURLY),
          "python": ("if a == 1:\n    f()\nelif a == 1:\n    g()\n", "if a == 1:\n    f()\nelif a == 2:\n    g()\n")}, cwe=561),
    _bug("assignment-in-condition", "A condition assigns a constant or a plain name.", s.assigns_in_condition,
         _everywhere(("if_statement", "while_statement"), *CURLY),
         _alike("if (a = b) { f(); }", "if (a == b) { f(); }", *CURLY), cwe=481),
    _bug("empty-then", "A semicolon ends an if in front of its block.", s.empty_then, _everywhere(("if_statement",), *CURLY),
         _alike("if (a); { f(); }", "if (a) { f(); }", *CURLY), cwe=483),
    _bug("empty-loop", "A semicolon ends a loop in front of its block.", s.empty_loop,
         _everywhere(("while_statement", "for_statement"), *CURLY),
         _alike("while (a); { f(); }", "while (a) { f(); }", *CURLY), cwe=483),
    _bug("unreachable-code", "A statement stands behind one that always leaves the block.", s.unreachable,
         _everywhere(s.JUMPS, *CURLY, "python"),
         {"c": ("return a; f();", "if (a) return a; f();"), "java": ("while (a) { break; f(); }", "while (a) { f(); break; }"),
          "js": ("function g() { return 1; f(); }", "function g() { f(); return 1; }"),
          "python": ("def g():\n    return 1\n    f()\n", "def g():\n    f()\n    return 1\n")}, cwe=561),
    _bug("swallowed-exception", "A catch block is empty.", s.swallows, _everywhere(("catch_clause",), *CURLY),
         {"c": ("try { f(); } catch (...) { }", "try { f(); } catch (...) { g(); }"),
          "java": ("try { f(); } catch (E e) { }", "try { f(); } catch (E e) { /* closed already */ }"),
          "js": ("try { f(); } catch (e) { }", "try { f(); } catch (e) { g(e); }")}, cwe=1069, sure=False),
    _bug("return-in-finally", "A return in a finally block throws an exception away.", s.jumps_out_of_finally,
         _everywhere(("finally_clause",), "java", "js", "python"),
         {**_alike("try { f(); } finally { return; }", "try { return; } finally { f(); }", "java", "js"),
          "python": ("def g():\n    try:\n        f()\n    finally:\n        return 1\n",
                     "def g():\n    try:\n        return 1\n    finally:\n        f()\n")}, cwe=584),
    _bug("loop-counts-the-wrong-way", "A loop counts away from its bound.", s.counts_the_wrong_way,
         _everywhere(("for_statement",), *CURLY),
         _alike("for (i = 0; i < n; i--) { f(); }", "for (i = 0; i < n; i++) { f(); }", *CURLY), cwe=835),
    _bug("negation-binds-to-the-left", "A negation applies to the left operand alone.", s.negated_left,
         _everywhere(("binary_expression", "instanceof_expression"), "c", "js"),
         _alike("r = !a == b;", "r = !(a == b);", "c", "js"), cwe=783),
    _bug("mask-after-comparison", "A comparison binds tighter than a bit operator.", s.mask_after_comparison,
         _everywhere(BINARY, "c", "js"), _alike("r = a & b == c;", "r = (a & b) == c;", "c", "js"), cwe=783),
    _bug("chained-comparison", "The outcome of a comparison is compared with a number.", s.compares_a_comparison,
         _everywhere(BINARY, "c", "js"), _alike("r = 1 <= b <= c;", "r = 1 <= b && b <= c;", "c", "js"), cwe=783),
    _bug("division-by-zero", "An integer is divided by zero.", s.divides_by_zero,
         {**_everywhere(BINARY, "c", "java"), "python": ("binary_operator",)},
         {**_alike("r = a / 0;", "r = a / 10;", "c", "java"), "python": ("r = a % 0", "r = a % 10")}, cwe=369),
    _bug("shift-too-far", "A shift by 64 or more, or by a negative number.", s.shifts_too_far, _everywhere(BINARY, *CURLY),
         _alike("r = a << 64;", "r = a << 6;", *CURLY), cwe=1335),
    _bug("length-below-zero", "A length is compared as if it could be negative.", s.never_negative, ALL,
         {"c": ("r = strlen(a) < 0;", "r = strlen(a) > 0;"), "java": ("r = a.length() < 0;", "r = a.length() == 0;"),
          "js": ("r = a.length >= 0;", "r = a.length > 0;"), "python": ("r = len(a) < 0", "r = len(a) == 0")}, cwe=570),
    _bug("comparison-without-use", "A comparison is a statement.", s.compares_for_nothing,
         {**_everywhere(("expression_statement",), "c", "js"), "python": ("comparison_operator",)},
         {**_alike("a == b;", "a = b;", "c", "js"), "python": ("a == b", "a = b")}, cwe=482),
    _bug("mistyped-operator", "`=+` or `=-` where `+=` or `-=` was meant.", s.mistyped_operator,
         _everywhere(("assignment_expression",), *CURLY), _alike("a =- 1;", "a = -1;", *CURLY), cwe=480),
    _bug("repeated-key", "A key stands twice in one literal.", s.repeats_key, {"js": ("object",), "python": ("dictionary",)},
         {"js": ("r = {a: 1, b: 2, 'a': 3};", "r = {a: 1, b: 2};"), "python": ("r = {'a': 1, 'a': 2}", "r = {'a': 1, a: 2}")}, cwe=1165),
    _bug("repeated-case", "A value stands twice in one switch.", s.repeats_case, {"js": ("switch_body",), "c": ("compound_statement",)},
         {"js": ("switch (a) { case 1: f(); break; case 1: g(); }", "switch (a) { case 1: f(); break; case 2: g(); }"),
          "c": ("switch (a) { case 1: f(); break; case 1: g(); }", "switch (a) { case 1: f(); break; case 2: g(); }")}, cwe=561),
    _bug("repeated-parameter", "A parameter's name stands twice.", s.repeats_parameter,
         {"js": ("formal_parameters",), "python": ("parameters", "lambda_parameters")},
         {"js": ("function f(a, b, a) { }", "function f(a, b) { }"), "python": ("f = lambda a, a: 1", "f = lambda a, b: 1")}, cwe=628),
)  # fmt: skip
