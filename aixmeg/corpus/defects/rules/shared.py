"""Bugs that look alike in several languages."""

from __future__ import annotations

from collections.abc import Mapping

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import Binary, Check, Match, Node, Rule

CURLY = ("c", "java", "js")


def _bug(rule: str, says: str, match: Mapping[str, Match], examples: Mapping[str, tuple[str, str]], cwe: int | None = None,
         *, sure: bool = True) -> Rule:  # fmt: skip
    bad = {family: one[0] for family, one in examples.items()}
    good = {family: one[1] for family, one in examples.items()}
    return Rule(rule, says, "bug", match, bad, good, cwe, sure)


def _nodes(check: Check, kinds: tuple[str, ...], *families: str, needs: tuple[str, ...] = ()) -> dict[str, Match]:
    return dict.fromkeys(families, Node(kinds, check, needs))


def _binary(check: s.BinaryCheck, operators: tuple[str, ...], *families: str) -> dict[str, Match]:
    return dict.fromkeys(families, Binary(operators, check))


def _alike(bad: str, good: str, *families: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(families, (bad, good))


RULES: tuple[Rule, ...] = (
    _bug("self-comparison", "A value is compared with itself, which only NaN tells apart.", _binary(s.twins, s.COMPARISONS, *CURLY, "python"),
         {**_alike("r = a.b >= a.b;", "r = a.b >= a.c;", *CURLY), "python": ("r = a.b == a.b", "r = a.b == a.c")}, 1025, sure=False),
    _bug("same-operands-of-logic", "Both operands of a logical operator are the same.", _binary(s.twins, ("&&", "||", "and", "or"), *CURLY, "python"),
         {**_alike("r = a && a;", "r = a && b;", *CURLY), "python": ("r = a and a", "r = a and b")}, 1025),
    _bug("same-operands-of-arithmetic", "A value is subtracted from, or divided by, itself.", _binary(s.twins, ("-", "/", "%", "^"), *CURLY, "python"),
         {**_alike("r = size / size;", "r = size / count;", *CURLY), "python": ("r = size - size", "r = size - 1")}, 682, sure=False),
    _bug("same-operands-of-bits", "Both operands of a bit operator are the same.", _binary(s.twins, ("&", "|"), *CURLY, "python"),
         {**_alike("r = mask | mask;", "r = mask | other;", *CURLY), "python": ("r = mask & mask", "r = mask & other")}, 682),
    _bug("self-assignment", "A variable is assigned to itself.", _binary(s.assigned_to_itself, ("=",), *CURLY, "python"),
         {**_alike("a = a;", "a = b;", *CURLY), "python": ("self.a = self.a", "self.a = a")}, 1164),
    _bug("identical-branches", "Both branches of an if are the same.", _nodes(s.branches_agree, ("if_statement",), *CURLY, "python"),
         {**_alike("if (a) { f(1); } else { f(1); }", "if (a) { f(1); } else { f(2); }", *CURLY),
          "python": ("if a:\n    f(1)\nelse:\n    f(1)\n", "if a:\n    f(1)\nelse:\n    f(2)\n")}, 561, sure=False),
    _bug("repeated-condition", "A later branch tests what an earlier one has tested.", _nodes(s.condition_repeats, ("if_statement",), *CURLY, "python"),
         {**_alike("if (a == 1) { f(); } else if (a == 1) { g(); }", "if (a == 1) { f(); } else if (a == 2) { g(); }", *CURLY),
          "python": ("if a == 1:\n    f()\nelif a == 1:\n    g()\n", "if a == 1:\n    f()\nelif a == 2:\n    g()\n")}, 561),
    _bug("assignment-in-condition", "A condition assigns a constant or a plain name.", _nodes(s.assigns_in_condition, ("if_statement", "while_statement"), *CURLY),
         _alike("if (a = b) { f(); }", "if (a == b) { f(); }", *CURLY), 481),
    _bug("empty-then", "A semicolon ends an if in front of its block.", _nodes(s.empty_then, ("if_statement",), *CURLY),
         _alike("if (a); { f(); }", "if (a) { f(); }", *CURLY), 483),
    _bug("empty-loop", "A semicolon ends a loop in front of its block.", _nodes(s.empty_loop, ("while_statement", "for_statement"), *CURLY),
         _alike("while (a); { f(); }", "while (a) { f(); }", *CURLY), 483),
    _bug("unreachable-code", "A statement stands behind one that always leaves the block.", _nodes(s.unreachable, s.JUMPS, *CURLY, "python"),
         {"c": ("return a; f();", "if (a) return a; f();"), "java": ("while (a) { break; f(); }", "while (a) { f(); break; }"),
          "js": ("function g() { return 1; f(); }", "function g() { f(); return 1; }"),
          "python": ("def g():\n    return 1\n    f()\n", "def g():\n    f()\n    return 1\n")}, 561),
    _bug("swallowed-exception", "A catch block is empty.", _nodes(s.swallows, ("catch_clause",), *CURLY),
         {"c": ("try { f(); } catch (...) { }", "try { f(); } catch (...) { g(); }"),
          "java": ("try { f(); } catch (E e) { }", "try { f(); } catch (E e) { /* closed already */ }"),
          "js": ("try { f(); } catch (e) { }", "try { f(); } catch (e) { g(e); }")}, 1069, sure=False),
    _bug("return-in-finally", "A return in a finally block throws an exception away.", _nodes(s.jumps_out_of_finally, ("finally_clause",), "java", "js", "python"),
         {**_alike("try { f(); } finally { return; }", "try { return; } finally { f(); }", "java", "js"),
          "python": ("def g():\n    try:\n        f()\n    finally:\n        return 1\n",
                     "def g():\n    try:\n        return 1\n    finally:\n        f()\n")}, 584),
    _bug("loop-counts-the-wrong-way", "A loop counts away from its bound.", _nodes(s.counts_the_wrong_way, ("for_statement",), *CURLY),
         _alike("for (i = 0; i < n; i--) { f(); }", "for (i = 0; i < n; i++) { f(); }", *CURLY), 835),
    _bug("negation-binds-to-the-left", "A negation applies to the left operand alone.", _binary(s.negated_left, (*s.COMPARISONS, "in", "instanceof"), "c", "js"),
         _alike("r = !a == b;", "r = !(a == b);", "c", "js"), 783),
    _bug("mask-after-comparison", "A comparison binds tighter than a bit operator.", _binary(s.mask_after_comparison, ("&", "|"), "c", "js"),
         _alike("r = a & b == c;", "r = (a & b) == c;", "c", "js"), 783),
    _bug("chained-comparison", "The outcome of a comparison is compared with a number.", _binary(s.compares_a_comparison, s.ORDERS, "c", "js"),
         _alike("r = 1 <= b <= c;", "r = 1 <= b && b <= c;", "c", "js"), 783),
    _bug("division-by-zero", "An integer is divided by zero.", _binary(s.divides_by_zero, ("/", "%", "//"), "c", "java", "python"),
         {**_alike("r = a / 0;", "r = a / 10;", "c", "java"), "python": ("r = a % 0", "r = a % 10")}, 369),
    _bug("shift-too-far", "A shift by 64 or more, or by a negative number.", _binary(s.shifts_too_far, ("<<", ">>", ">>>"), *CURLY),
         _alike("r = a >> 128;", "r = a >> 6;", *CURLY), 1335),
    _bug("length-below-zero", "A length is compared as if it could be negative.", _binary(s.never_negative, ("<", ">="), *CURLY, "python"),
         {"c": ("r = strlen(a) < 0;", "r = strlen(a) > 0;"), "java": ("r = a.length() < 0;", "r = a.length() == 0;"),
          "js": ("r = a.length >= 0;", "r = a.length > 0;"), "python": ("r = len(a) < 0", "r = len(a) == 0")}, 570),
    _bug("comparison-without-use", "A comparison is a statement.",
         {**_nodes(s.compares_for_nothing, ("expression_statement",), "c", "js"), **_nodes(s.compares_for_nothing, ("comparison_operator",), "python")},
         {**_alike("a == b;", "a = b;", "c", "js"), "python": ("a == b", "a = b")}, 482),
    _bug("mistyped-operator", "`=+` or `=-` where `+=` or `-=` was meant.", _binary(s.mistyped_operator, ("=",), *CURLY),
         _alike("a =- 1;", "a = -1;", *CURLY), 480),
    _bug("repeated-key", "A key stands twice in one literal.", {**_nodes(s.repeats_key, ("object",), "js"), **_nodes(s.repeats_key, ("dictionary",), "python")},
         {"js": ("r = {a: 1, b: 2, 'a': 3};", "r = {'\"': 1, \"'\": 2};"), "python": ("r = {'a': 1, 'a': 2}", "r = {'a': 1, a: 2}")}, 1165),
    _bug("repeated-case", "A value stands twice in one switch.", {**_nodes(s.repeats_case, ("switch_body",), "js"), **_nodes(s.repeats_case, ("compound_statement",), "c", needs=("switch",))},
         _alike("switch (a) { case 1: f(); break; case 1: g(); }", "switch (a) { case 1: f(); break; case 2: g(); }", "js", "c"), 561),
    _bug("repeated-parameter", "A parameter's name stands twice.", {**_nodes(s.repeats_parameter, ("formal_parameters",), "js"), **_nodes(s.repeats_parameter, ("parameters", "lambda_parameters"), "python")},
         {"js": ("function f(a, b, a) { }", "function f(a, b) { }"), "python": ("f = lambda a, a: 1", "f = lambda a, b: 1")}, 628),
)  # fmt: skip
