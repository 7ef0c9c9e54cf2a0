"""Copies of benchmark solutions inside bigger files are found, whatever became of blanks and comments."""

import gzip
import json
import re

import near_samples as samples
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aixmeg.config.corpus import DecontaminateConfig
from aixmeg.corpus.decontaminate import Index, Item, make_step, read_items
from aixmeg.corpus.decontaminate.comments import comments_of, strip_comments
from aixmeg.corpus.decontaminate.index import ngrams
from aixmeg.corpus.document import Document
from aixmeg.corpus.reasons import REASONS, Dropped
from aixmeg.languages import LANGUAGES

PROMPT = '''from typing import List


def smallest_gap(values: List[float], limit: float) -> bool:
    """ Is the distance of any two of the values below the limit?
    >>> smallest_gap([1.0, 2.5], 1.0)
    False
    """
'''
SOLUTION = """    ordered = sorted(values)
    best = float("inf")
    for left, right in zip(ordered, ordered[1:]):
        distance = abs(right - left)
        if distance < best:
            best = distance
    if best < limit:
        return True
    return False
"""
JAVA = """    public static int countVowels(String text) {
        int found = 0;
        for (char letter : text.toCharArray()) {
            if ("aeiou".indexOf(Character.toLowerCase(letter)) >= 0) {
                found += 1;
            }
        }
        return found;
    }
"""


def write(path, records):
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def document(content, language="python"):
    return Document(repository="r", path="a/f", language=language, content=content)


def reasons(step, content, language="python"):
    file = document(content, language)
    try:
        step(file)
    except Dropped as dropped:
        return dropped.reason, file
    return "", file


def humaneval(tmp_path):
    record = {"task_id": "HumanEval/900", "prompt": PROMPT, "canonical_solution": SOLUTION, "test": "assert True"}
    short = {"task_id": "HumanEval/901", "prompt": "def add(x, y):\n", "canonical_solution": "    return x + y\n"}
    return write(tmp_path / "humaneval.jsonl", [record, short])


def test_a_planted_solution_is_found_and_named(tmp_path):
    step = make_step(DecontaminateConfig(benchmarks=(humaneval(tmp_path),)))
    around = samples.real_files(12)
    assert all(reasons(step, content)[0] == "" for content in around)
    for content in around:
        cut = content.rindex(b"\n", 0, len(content) // 2)
        planted = content[:cut] + b"\n" + (PROMPT + SOLUTION).encode() + content[cut:]
        reason, file = reasons(step, planted)
        assert reason == "contaminated"
        assert reason in REASONS
        assert file.audit[0]["item"] == "humaneval.jsonl: HumanEval/900"
        assert file.audit[0]["share"] > 0.9
        assert file.counts["decontaminate.items"] == 1


def test_blanks_comments_and_missing_documentation_do_not_hide_a_copy(tmp_path):
    step = make_step(DecontaminateConfig(benchmarks=(humaneval(tmp_path),)))
    commented = "".join(f"{line}  # step {n} of the plan\n" for n, line in enumerate(SOLUTION.splitlines()))
    narrow = re.sub(r"\n", "\n\n", SOLUTION.replace("    ", "\t").replace(" = ", "="))
    for copy in (commented, narrow, narrow.replace("\n", "\r\n"), '"""Other words"""\n' + commented):
        code = f"def other_name(values, limit):\n{copy}\n"
        assert reasons(step, b"import os\n" + code.encode())[0] == "contaminated"
    half = "\n".join(SOLUTION.splitlines()[:3])
    assert reasons(step, half.encode())[0] == ""
    for inside in ("# " + SOLUTION.replace("\n", "\n# "), f'"""\n{SOLUTION}"""'):
        assert reasons(step, f"x = 1\n{inside}\n".encode())[0] == "contaminated"


def test_trivial_solutions_are_not_looked_for(tmp_path):
    config = DecontaminateConfig(benchmarks=(humaneval(tmp_path),))
    index = Index(read_items(config.benchmarks[0], config), config)
    assert index.too_short == ["humaneval.jsonl: HumanEval/901"]
    assert index.find(b"def add(x, y):\n    return x + y\n" * 50, "python") == []


def test_a_long_run_is_enough(tmp_path):
    words = [f"name{n}" for n in range(1000)]
    item = Item(name="long", language="python", texts=(" ".join(words),))
    for share, run, taken, expected in ((0.5, 100, 100, 1), (0.5, 100, 99, 0), (0.5, 0, 400, 0), (0.05, 0, 60, 1)):
        index = Index([item], DecontaminateConfig(share=share, run_words=run))
        matches = index.find(("other words " + " ".join(words[300 : 300 + taken]) + " more").encode(), "python")
        assert len(matches) == expected
        if matches:
            assert matches[0].run_words == taken
            assert matches[0].share == pytest.approx((taken - 9) / 991, abs=1e-4)
    scattered = " other ".join(" ".join(words[n : n + 40]) for n in range(0, 400, 40))
    assert Index([item], DecontaminateConfig(share=0.5)).find(scattered.encode(), "python") == []


@pytest.mark.parametrize(
    ("name", "record", "language", "copy"),
    [
        ("HumanEval-Infilling.jsonl.gz",
         {"task_id": "S/0/L0", "prompt": PROMPT, "suffix": SOLUTION[30:], "canonical_solution": SOLUTION[:30]},
         "python", SOLUTION),
        ("mbpp.jsonl", {"task_id": 11, "text": "Is it?", "code": PROMPT + SOLUTION, "test_list": ["assert x"]},
         "python", SOLUTION),
        ("humaneval-java.jsonl", {"name": "HumanEval_0_x", "language": "java", "prompt": "class Problem {\n" + JAVA},
         "java", JAVA),
        ("fim_eval.jsonl", {"task_id": "java_1", "task_type": "for", "pre_mask_code": JAVA[:60],
                            "post_mask_code": JAVA[90:], "canonical_solution": JAVA[60:90]}, "java", JAVA),
        ("line_completion.jsonl", {"prompt": JAVA[:200], "groundtruth": JAVA[200:230], "right_context": JAVA[230:],
                                   "metadata": {"task_id": "project_cc_java/2"}}, "java", JAVA),
        ("apps.jsonl", {"question_id": 3, "solutions": ["pass", PROMPT + SOLUTION]}, "python", SOLUTION),
    ],
)  # fmt: skip
def test_formats(tmp_path, name, record, language, copy):
    path = write(tmp_path / name, [record])
    step = make_step(DecontaminateConfig(benchmarks=(path,)))
    reason, file = reasons(step, ("x = 1;\n" + copy + "\ny = 2;\n").encode(), language)
    assert reason == "contaminated"
    assert file.audit[0]["item"].startswith(name)


def test_own_field_names(tmp_path):
    path = write(tmp_path / "own.jsonl", [{"gold": PROMPT + SOLUTION}])
    with pytest.raises(ValueError, match="solution_fields"):
        make_step(DecontaminateConfig(benchmarks=(path,)))
    step = make_step(DecontaminateConfig(benchmarks=(path,), solution_fields=("gold",)))
    assert reasons(step, SOLUTION.encode())[1].audit[0]["item"] == "own.jsonl: line 1"


def test_without_benchmarks_the_step_is_off(tmp_path):
    for config in (DecontaminateConfig(), DecontaminateConfig(enabled=False, benchmarks=(humaneval(tmp_path),))):
        assert reasons(make_step(config), SOLUTION.encode())[0] == ""


@pytest.mark.parametrize("damage", [b"{", b'"text"\n', b"\x1f\x8b\x08garbage", b"", b'{"a": 1}\n'])
def test_bad_benchmarks_are_told(tmp_path, damage):
    for name in ("b.jsonl", "b.jsonl.gz"):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(ValueError, match=re.escape(name)):
            make_step(DecontaminateConfig(benchmarks=(tmp_path / name,)))
    with pytest.raises(ValueError, match="cannot read"):
        make_step(DecontaminateConfig(benchmarks=(tmp_path / "absent.jsonl",)))


def test_bad_settings_are_told(tmp_path):
    bad = DecontaminateConfig(gram_words=0, min_grams=0, share=0.0, solution_fields=(), benchmarks=(tmp_path,))
    assert len(list(bad.problems("corpus.decontaminate"))) == 4
    assert list(DecontaminateConfig(run_words=5).problems("d"))
    assert not list(DecontaminateConfig().problems("d"))


@pytest.mark.parametrize(
    ("language", "code", "left"),
    [
        ("python", b"a = '# no' # yes\nb", b"a = '# no'  \nb"),
        ("python", b'def f():\n    """doc # x"""\n    return "it\'s" # c', b'def f():\n     \n    return "it\'s"  '),
        ("python", b"x = r'\\' # c", b"x = r'\\' # c"),  # the backslash hides the quote, as it does in other strings
        ("c", b'f("/* no */"); /* yes\n more */ g(); // end\nh', b'f("/* no */");   g();  \nh'),
        ("rust", b"fn f<'a>(x: &'a str) {} // c\ny", b"fn f<'a>(x: &'a str) {}  \ny"),
        ("html", b"<a><!-- c --><b>", b"<a> <b>"),
        ("sql", b"select 1 -- c\n/* d */ from x", b"select 1  \n  from x"),
        ("c", b"a /* open", b"a  "),
        ("unknown", b"a # b // c", b"a # b // c"),
    ],
)
def test_comments_are_dropped(language, code, left):
    assert strip_comments(code, language) == left


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_of_the_table_has_marks_that_fit(language):
    form = comments_of(language)
    path_comment = LANGUAGES[language].path_comment
    if path_comment:
        assert form.line or (form.open and form.close)
        comment = path_comment.replace("{}", "a comment here", 1) if path_comment != "{{}}" else "{a comment here}"
        assert b"comment" not in strip_comments(comment.encode() + b"\nx", language)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(["python", "c", "html", "sql", "lua", "delphi", "unknown"]))
@example(b"'" * 7 + b"\\", "python")
@example(b'"""', "python")
@example(b"/*/", "c")
def test_any_bytes(content, language):
    left = strip_comments(content, language)
    assert len(left) <= len(content)
    runs = ngrams(left, 3)
    found = samples.words(left)
    expected = [tuple(found[i : i + 3]) for i in range(len(found) - 2)]
    assert len(runs) == len(expected)
    assert len(set(runs.tolist())) == len(set(expected))
    if len(set(expected)) >= 2:
        config = DecontaminateConfig(gram_words=3, min_grams=1, share=1.0)
        index = Index([Item(name="i", language=language, texts=(left.decode("latin-1"),))], config)
        assert isinstance(index.find(content, language), list)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=60),
    st.lists(st.sampled_from("abcd"), min_size=4, max_size=30),
)
def test_shares_and_runs_are_those_of_the_reference(file, solution):
    config = DecontaminateConfig(gram_words=4, min_grams=1, share=0.01, run_words=0)
    index = Index([Item(name="i", language="unknown", texts=(" ".join(solution),))], config)
    wanted = {tuple(solution[i : i + 4]) for i in range(len(solution) - 3)}
    hits = [tuple(file[i : i + 4]) in wanted for i in range(len(file) - 3)]
    there = {tuple(file[i : i + 4]) for i, hit in enumerate(hits) if hit}
    matches = index.find(" ".join(file).encode(), "unknown")
    assert bool(matches) == (len(there) / len(wanted) >= 0.01)
    if matches:
        longest = max(map(len, "".join("x" if hit else " " for hit in hits).split()))
        assert matches[0].share == pytest.approx(len(there) / len(wanted), abs=1e-4)
        assert matches[0].run_words == longest + 3
