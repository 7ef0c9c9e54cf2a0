"""Every rule hits its bad example and leaves its good one alone; the policy decides what becomes of a file."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.config.corpus import DefectsConfig
from aixmeg.corpus.defects import RULES, make_step, ruff
from aixmeg.corpus.defects.find import Finder
from aixmeg.corpus.defects.rule import FAMILIES
from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import Dropped
from aixmeg.errors import UserError
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import parse

CASES = [
    pytest.param(rule, language, id=f"{rule.id}-{language}")
    for rule in RULES
    for language in rule.languages()
    if not (language in ("typescript",) and "jsx" in str(rule.match))
]
FIND = Finder(RULES)


def wrapped(family, code):
    """A whole file around an example."""
    if family == "c":
        return f"int h(int a)\n{{\n    {code}\n    return 0;\n}}\n"
    if family == "java":
        body = code if code.startswith("public") else f"void h() {{\n        {code}\n    }}"
        return f"class T {{\n    {body}\n}}\n"
    return code + "\n"


def hits(language, code):
    tree = parse(LANGUAGES[language], wrapped(FAMILIES[language], code).encode())
    assert tree.error_share == 0, f"the example does not parse: {code}"
    return [hit.rule.id for hit in FIND(tree)]


@pytest.mark.parametrize(("rule", "language"), CASES)
def test_the_rule_tells_its_examples_apart(rule, language):
    family = FAMILIES[language]
    if (language, family) == ("c", "c") and any(
        word in rule.bad[family] for word in ("std::", "try", "delete", "throw")
    ):
        language = "c++"
    if language in ("typescript", "javascript") and "<p" in rule.bad[family]:
        language = "tsx"
    assert rule.id in hits(language, rule.bad[family])
    assert rule.id not in hits(language, rule.good[family])


def test_ids_are_unique_and_every_example_has_its_counterpart():
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert set(rule.match) == set(rule.bad) == set(rule.good), rule.id


def document(language, text, path="p"):
    return Document(repository="r", path=path, language=language, content=text.encode())


def test_sure_bugs_drop_the_file_and_others_are_named_in_its_record():
    step = make_step(DefectsConfig())
    bug = document("c", wrapped("c", "while (!feof(f)) { g(); } gets(b);"))
    with pytest.raises(Dropped, match="defect_bug"):
        step(bug)
    danger = document("c", wrapped("c", "gets(b); strcpy(d, p);"))
    step(danger)
    assert danger.tags["defects"] == {"c-gets": 1, "c-strcpy": 1}
    assert danger.counts == {"defects.c-gets": 1, "defects.c-strcpy": 1}
    with pytest.raises(Dropped, match="defect_vulnerability"):
        make_step(DefectsConfig(vulnerabilities="drop"))(document("c", wrapped("c", "gets(b);")))
    clean = document("c", wrapped("c", "fgets(b, n, f);"))
    step(clean)
    assert "defects" not in clean.tags


def test_limit_exceptions_and_other_languages():
    text = wrapped("c", "a = a;" + "\n// " + "x" * 1900)
    make_step(DefectsConfig(max_per_kilobyte=1.0))(document("c", text))
    make_step(DefectsConfig(without=("self-assignment",)))(document("c", text))
    with pytest.raises(Dropped):
        make_step(DefectsConfig(max_per_kilobyte=0.1))(document("c", text))
    make_step(DefectsConfig())(document("lua", "x = x"))
    with pytest.raises(UserError, match="no-such-rule"):
        make_step(DefectsConfig(without=("no-such-rule",)))


PUBLISHED = "class A:\n    def __init__(self):\n        return 1\n"


def test_the_papers_example_is_dropped():
    with pytest.raises(Dropped, match="defect_bug"):
        make_step(DefectsConfig(ruff=False))(document("python", PUBLISHED))
    inner = "class A:\n    def __init__(self):\n        def f():\n            return 1\n        self.f = f\n"
    make_step(DefectsConfig(ruff=False))(document("python", inner))


def test_ruff_over_many_files_gives_what_it_gives_for_each():
    texts = ["import yaml\nyaml.load(x)\n", "x = 1\n", "def f(a=[]):\n    return '%s %s' % (1,)\n", "def (:\n", ""]
    together = ruff.check_files([text.encode() for text in texts])
    assert together == [ruff.check_files([text.encode()])[0] for text in texts]
    assert "S506" in together[0]
    assert together[1] == {}
    assert together[2].keys() >= {"B006", "F507"}
    step = make_step(DefectsConfig())
    documents = [document("python", text) for text in texts[:2]]
    step.prepare(documents)
    for one in documents:
        step(one)
    assert documents[0].tags["defects"] == {"F821": 1, "S506": 1}  # x is not defined either
    with pytest.raises(Dropped):
        step(document("python", texts[2]))


def test_ruff_ignores_the_files_own_exceptions_and_any_configuration(tmp_path, monkeypatch):
    (tmp_path / "ruff.toml").write_text("exclude = ['*.py']\n")
    monkeypatch.chdir(tmp_path)
    assert "S506" in ruff.check_files([b"import yaml\nyaml.load(x)  # noqa\n"])[0]


PIECES = [
    *("if (a) ", "else ", "{", "}", "(", ")", ";", "a == a", "return ", "x = x", "for (;;)", "[", "]", "'", '"', "\n"),
    *("a.b(c, d)", "{a: 1, a: 2}", "try ", "catch (e) ", "finally ", "    ", "def f(a, a):", "\u2581", "!a == b"),
    *("switch (a) ", "case 1:", "new T(1)", "<p>", "`${a}`", "#if 1\n"),
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(FAMILIES)), st.lists(st.sampled_from(PIECES), max_size=25))
def test_no_text_upsets_a_rule(language, parts):
    FIND(parse(LANGUAGES[language], "".join(parts).encode()))


def test_the_table_in_the_docs_is_that_of_the_rules():
    path = Path(__file__).parents[3] / "tools" / "defect_rules.py"
    spec = importlib.util.spec_from_file_location("defect_rules", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text(encoding="utf-8") == module.page(), "run python tools/defect_rules.py"
