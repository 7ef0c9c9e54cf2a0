"""Python: what ruff's rules leave out, and the paper's published example. Ruff's own rules are chosen in `ruff.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aixmeg.corpus.defects import structure as s
from aixmeg.corpus.defects.rule import Binary, Call, Match, Node, Pair, Rule
from aixmeg.corpus.defects.view import View


def _rule(rule: str, says: str, match: Match, bad: str, good: str, cwe: int | None = None, *,  # noqa: PLR0917
          kind: Any = "bug", sure: bool = True, needs: tuple[str, ...] = ()) -> Rule:  # fmt: skip
    match = replace(match, needs=needs) if isinstance(match, Node) else match
    return Rule(f"python-{rule}", says, kind, {"python": match}, {"python": bad}, {"python": good}, cwe, sure)


def _call(*names: str, **settings: Any) -> Call:
    return Call(names, **settings)


def _init_returns(view: View, node: int) -> bool:
    """`return value` directly in an `__init__`, not in a function inside it (arXiv 2410.13187's example)."""
    if len(value := view.named(node)) != 1 or view.kind(value[0]) == "none":
        return False
    around = view.parent[node]
    while around >= 0 and view.kind(around) not in ("function_definition", "lambda", "class_definition"):
        around = view.parent[around]
    if around < 0 or view.kind(around) != "function_definition":
        return False
    name = view.field(around, "name")
    outer = view.parent[around]
    while outer >= 0 and view.kind(outer) not in ("function_definition", "class_definition"):
        outer = view.parent[outer]
    in_class = outer >= 0 and view.kind(outer) == "class_definition"
    return name is not None and view.text(name) == "__init__" and in_class


RULES: tuple[Rule, ...] = (
    _rule("init-returns", "An __init__ that returns a value.", Node(("return_statement",), _init_returns), "class A:\n    def __init__(self):\n        return 1\n", "class A:\n    def __init__(self):\n        return None\n", 394),
    _rule("assert-tuple", "An assertion of a tuple is always true.", Node(("assert_statement",), s.text_matches(r"assert\s*\(\s*[^()]+,\s*['\"][^'\"]*['\"]\s*\)", 600)), "assert (a == 1, 'message')", "assert a == 1, 'message'", 571),
    _rule("raise-not-implemented", "NotImplemented is no exception.", Node(("raise_statement",), s.text_matches(r"raise\s+NotImplemented(?:\(.*\))?")), "raise NotImplemented", "raise NotImplementedError", 397, needs=("NotImplemented",)),
    _rule("is-literal", "A literal compared by identity.", Binary(("is", "is not"), s.either_side(r"""-?\d+|['"].*['"]|\(.*,.*\)|\[.*\]|\{.*\}""")), "r = a is 'b'", "r = a is None", 595),
    _rule("nan", "NaN is equal to nothing.", Binary(("==", "!="), s.either_side(r"(?:math|np|numpy|torch)\.nan|float\(['\"]nan['\"]\)")), "r = a == math.nan", "r = math.isnan(a)", 1077),
    _rule("strip-word", "strip() takes characters, not a word.", _call("strip", "rstrip", "lstrip", args={0: r"""['"](?:https?://|www\.|\.\w{2,4})['"]"""}), "a.rstrip('.py')", "a.removesuffix('.py')", 628),
    _rule("thread-run", "run() of a new thread runs in this one.", Node(("call",), s.text_matches(r"(?:threading\.)?Thread\(.*\)\.run\(\)", 600)), "threading.Thread(target=f).run()", "threading.Thread(target=f).start()", 572, needs=("Thread(",)),
    _rule("list-sort-result", "sort() gives None.", Binary(("=",), s.whole(r"(\w+)\s*=\s*\1\.(?:sort|reverse|append|extend|clear|insert)\([^()]*\)")), "a = a.sort()", "a = sorted(a)", 253),
    _rule("dict-fromkeys-mutable", "All keys share one list.", _call("fromkeys", on="dict", args={1: r"\[\]|\{\}|set\(\)|list\(\)|dict\(\)"}), "dict.fromkeys(a, [])", "dict.fromkeys(a, 0)", 1188),
    _rule("list-times-list", "All rows are one list.", Binary(("*",), s.whole(r"\[\s*\[[^\[\]]*\]\s*(?:\*\s*\w+\s*)?\]\s*\*\s*\w+")), "r = [[0] * 3] * 3", "r = [[0] * 3 for _ in range(3)]", 1188),
    _rule("open-for-read-write", "A file's mode that does not exist.", _call("open", on=r"(?:io)?", args={1: r"""['"](?:rw|wr|rwb|aw|rt\+b)['"]"""}), "open(p, 'rw')", "open(p, 'r+')", 628),
    _rule("datetime-default", "The time of the import is every call's default.", Node(("default_parameter", "typed_default_parameter"), s.text_matches(r".*=\s*(?:datetime\.)*(?:datetime|date|time)\.(?:now|utcnow|today|time)\(\)")), "def f(a=datetime.now()):\n    pass\n", "def f(a=None):\n    pass\n", 1188, needs=("now()", "utcnow()", "today()", "time()")),
    _rule("sleep-async", "An await that blocks the loop.", Node(("await",), s.text_matches(r"await\s+time\.sleep\(.*\)")), "async def f():\n    await time.sleep(1)\n", "async def f():\n    await asyncio.sleep(1)\n", 834),
    _rule("except-tuple-string", "A string is no exception.", Node(("raise_statement",), s.text_matches(r"""raise\s+['"].*['"]""")), "raise 'text'", "raise ValueError('text')", 397),
    _rule("compare-type-name", "A type compared with its name.", Binary(("==", "!="), s.whole(r"""type\(\w+\)\s*==\s*['"]\w+['"]""")), "r = type(a) == 'int'", "r = type(a) == int", 570),
    _rule("jwt-unverified", "A token that is read without being checked.", Pair("verify_signature", "False"), "f(verify_signature=False)", "f(verify_signature=True)", 347, kind="vulnerability"),
    _rule("flask-secret", "A secret that is written down.", Pair("SECRET_KEY", r"""['"](?!.*(?i:change|your|example|xxx|\{|<))[^'"]{8,}['"]"""), "SECRET_KEY = 'abcdefgh12'", "SECRET_KEY = os.environ['KEY']", 798, kind="vulnerability", sure=False),
    _rule("any-host", "A Django that answers to any name.", Pair("ALLOWED_HOSTS", r"""\[\s*['"]\*['"]\s*\]"""), "ALLOWED_HOSTS = ['*']", "ALLOWED_HOSTS = ['example.org']", 350, kind="vulnerability", sure=False),
    _rule("any-origin", "Any site may ask.", Pair("allow_origins", r"""\[\s*['"]\*['"]\s*\]"""), "f(allow_origins=['*'])", "f(allow_origins=[a])", 942, kind="vulnerability", sure=False),
    _rule("ecb", "Electronic code book mode shows patterns of the text.", Node(("attribute",), s.text_matches(r"(?:AES|DES3?|modes|ARC2|Blowfish)\.(?:MODE_)?ECB")), "r = AES.MODE_ECB", "r = AES.MODE_GCM", 327, kind="vulnerability", needs=("ECB",)),
    _rule("cookie-script", "A cookie that scripts may read.", _call("set_cookie", args={-1: r"httponly\s*=\s*False"}), "r.set_cookie('a', b, httponly=False)", "r.set_cookie('a', b, httponly=True)", 1004, kind="vulnerability"),
    _rule("sql-f-string", "SQL put together from parts.", _call("execute", "executemany", "executescript", args={0: r"""f['"]{1,3}\s*(?i:select\b.*\bfrom|insert\s+into|update\b.*\bset|delete\s+from)\b.*['"]\{.*"""}), "c.execute(f\"SELECT a FROM t WHERE b='{d}'\")", "c.execute('SELECT a FROM t WHERE b=?', [d])", 89, kind="vulnerability"),
    _rule("torch-load", "Anything may be in a pickle.", _call("load", on=r"torch|joblib|dill|cloudpickle", args={0: r".*"}, count=1), "torch.load(p)", "torch.load(p, weights_only=True)", 502, kind="vulnerability", sure=False),
)  # fmt: skip
