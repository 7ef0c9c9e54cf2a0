"""Writes docs/defect_rules.md from the rules: `python tools/defect_rules.py`."""

from collections import Counter
from pathlib import Path

from aixmeg.corpus.defects import RULES, ruff
from aixmeg.corpus.defects.rule import Rule

FILE = Path(__file__).parents[1] / "docs" / "defect_rules.md"
SHOWN = {
    "c": "C",
    "c++": "C++",
    "java": "Java",
    "javascript": "JavaScript",
    "typescript": "TypeScript",
    "python": "Python",
}
HEAD = """# Defect rules

What `corpus.defects` looks for. This file is written by `python tools/defect_rules.py`; every rule's examples run in
`tests/unit/corpus/test_corpus_defects.py`. A *sure* hit drops the file where the policy says `drop`
(`corpus.defects.bugs`, `corpus.defects.vulnerabilities`); any hit is named in the file's record (`tags.defects`).

aiXcoder's authors checked 163 kinds of bugs and 197 kinds of vulnerabilities in Java, C++, Python and JavaScript with
their own analysers (arXiv 2410.13187); they have published one of the rules, a Python `__init__` that returns a value
(`python-init-returns`), and no list. Ours, counted once per rule and language, without ruff's:
"""


def counts() -> str:
    """The table of how many rules there are."""
    number = Counter((rule.kind, language) for rule in RULES for language in rule.languages() if language in SHOWN)
    lines = ["| language | bugs | vulnerabilities |", "|---|---|---|"]
    lines += [f"| {name} | {number['bug', key]} | {number['vulnerability', key]} |" for key, name in SHOWN.items()]
    bugs, dangers = (sum(n for (kind, _), n in number.items() if kind == one) for one in ("bug", "vulnerability"))
    return "\n".join([*lines, f"| **rules of our own** | **{bugs}** | **{dangers}** |"])


def row(rule: Rule) -> str:
    """One line of the table of rules."""
    languages = ", ".join(SHOWN[one] for one in rule.languages() if one in SHOWN)
    cwe = f"CWE-{rule.cwe}" if rule.cwe else ""
    example = " ".join(next(iter(rule.bad.values())).split()).replace("|", "\\|")
    return f"| `{rule.id}` | {languages} | {cwe} | {'yes' if rule.sure else ''} | {rule.says} | `{example}` |"


def page() -> str:
    """The whole file."""
    parts = [HEAD, counts(), ""]
    for kind, title in (("bug", "Bugs"), ("vulnerability", "Vulnerabilities")):
        parts += [
            f"\n## {title}\n",
            "| rule | languages | CWE | sure | what it finds | example |",
            "|---|---|---|---|---|---|",
        ]
        parts += [row(rule) for rule in RULES if rule.kind == kind]
    parts += [
        "\n## Ruff's rules for Python\n",
        "Codes and groups of codes as ruff's own documentation lists them.\n",
        f"- bugs: {', '.join(f'`{code}`' for code in ruff.BUGS)}",
        f"- vulnerabilities: {', '.join(f'`{code}`' for code in ruff.VULNERABILITIES)},"
        f" without {', '.join(f'`{code}`' for code in ruff.NOT_USED)}",
        f"- sure: {', '.join(f'`{code}`' for code in sorted(ruff.SURE))}",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
    print(f"wrote {FILE}")
