"""Each benchmark on records of its published form, made here: oracle, near misses, hostile completions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from aixmeg.errors import UserError
from aixmeg.eval.benchmarks import BENCHMARKS
from aixmeg.eval.benchmarks.nl2code import _MULTIPLE
from aixmeg.eval.benchmarks.safim import same_call
from aixmeg.eval.command import evaluate
from aixmeg.eval.run import summarise
from aixmeg.eval.sandbox import Limits, Sandbox
from aixmeg.eval.task import Task


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox("namespaces", Limits(cpu_seconds=20, wall_seconds=300)) as sandbox:
        try:
            sandbox.check()
        except UserError as error:
            pytest.skip(f"no namespaces here: {error}")
        yield sandbox


def tasks(name: str, records: list[dict], folder: Path, file: str = "set.jsonl") -> list[Task]:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return BENCHMARKS[name].read(path)


def scores(name: str, task: Task, text: str, box: Sandbox) -> dict:
    return BENCHMARKS[name].score(task, BENCHMARKS[name].cut(task, text), box)


def test_santacoder(tmp_path: Path, box: Sandbox) -> None:
    made = tasks("santacoder", [
        {"name": "HumanEval_0", "language": "js", "prompt": "let a = 1;\n", "suffix": "\nreturn b;",
         "canonical_solution": "    let b = a + 1;"},
        {"name": "HumanEval_0", "language": "py", "prompt": "a = 1\n", "suffix": "\nb",
         "canonical_solution": "b = a"},
    ], tmp_path)  # fmt: skip
    assert [task.group for task in made] == ["javascript", "python"]
    assert len({task.name for task in made}) == 2
    for text, match in (
        ("    let b = a + 1;", 1.0),
        ("\nlet b = a + 1;\nreturn b;", 1.0),
        ("let b = a;", 0.0),
        ("", 0),
    ):
        assert scores("santacoder", made[0], text, box)["exact_match"] == match, text
    with pytest.raises(UserError, match="line 1, field 'language': 'cobol' is none of py"):
        tasks("santacoder", [{"language": "cobol"}], tmp_path)


def test_crosscodeeval_with_and_without_retrieved_text(tmp_path: Path, box: Sandbox) -> None:
    record = {
        "prompt": "from a import load\nx = ", "groundtruth": "load(path, mode)", "right_context": "\nprint(x)\n",
        "metadata": {"task_id": "project_cc_python/62", "file": "b.py"},
    }  # fmt: skip
    retrieved = {**record, "crossfile_context": {"text": "# def load(path, mode): ...\n", "list": []}}
    (plain,) = tasks("crosscodeeval", [record], tmp_path)
    (with_context,) = tasks("crosscodeeval", [retrieved], tmp_path)
    assert plain.prefix == record["prompt"]
    assert with_context.prefix == "# def load(path, mode): ...\n" + record["prompt"]
    assert (plain.language, plain.suffix) == ("python", "\nprint(x)\n")
    full = {"exact_match": 1.0, "edit_similarity": 1.0, "identifier_match": 1.0, "identifier_f1": 1.0}
    assert scores("crosscodeeval", plain, "load(path, mode)  # the file\nmore()", box) == full
    near = scores("crosscodeeval", plain, "load(path)", box)
    assert (near["exact_match"], near["identifier_match"]) == (0.0, 0.0)
    assert near["identifier_f1"] == pytest.approx(2 * 2 / 5)
    del record["metadata"]["file"]
    assert tasks("crosscodeeval", [record], tmp_path, "csharp/line.jsonl")[0].language == "c#"
    with pytest.raises(UserError, match="its language is told neither by"):
        tasks("crosscodeeval", [record], tmp_path)
    with pytest.raises(UserError, match="field 'metadata': nothing is not an object"):
        tasks("crosscodeeval", [{"prompt": ""}], tmp_path)


def test_fim_eval_reports_languages_and_types(tmp_path: Path, box: Sandbox) -> None:
    record = {"task_id": 1, "task_type": "if statement", "pre_mask_code": "int a;\n", "post_mask_code": "\n}",
              "canonical_solution": "if (a > 0) { return a; }"}  # fmt: skip
    with pytest.raises(UserError, match="field 'task_id': 1 is not a string"):
        tasks("fim-eval", [record], tmp_path, "java.jsonl")
    made = tasks("fim-eval", [{**record, "task_id": f"{i}"} for i in range(2)], tmp_path, "java_data.jsonl")
    assert [task.group for task in made] == ["java/if statement"] * 2
    full = scores("fim-eval", made[0], " if (a > 0) { return a; }\n", box)
    assert full == {"exact_match": 1.0, "bleu_4": 1.0, "codebleu": 1.0, "edit_similarity": 1.0}
    assert 0 < scores("fim-eval", made[0], "if (a > 0) { return b; }", box)["bleu_4"] < 1
    samples = [
        {"task": task.name, "group": task.group, "stopped": "end", "note": "", "sample": 0,
         **scores("fim-eval", task, text, box)}
        for task, text in zip(made, ("if (a > 0) { return a; }", ""), strict=True)
    ]  # fmt: skip
    metrics = summarise(BENCHMARKS["fim-eval"], samples)["metrics"]
    assert list(metrics) == ["", "java", "java/if statement"]
    assert metrics["java"]["exact_match"]["mean"] == 0.5
    with pytest.raises(UserError, match="neither a field 'language' nor the file's name"):
        tasks("fim-eval", [record], tmp_path, "plain.jsonl")


PROGRAM = "n = int(input())\nfor i in range(n):\n    {{completion}}\n"
TESTS = [{"input": "3\n", "output": ["0\n1\n2\n"]}, {"input": "1", "output": ["never", "0"]}]


def test_safim_in_python(tmp_path: Path, box: Sandbox) -> None:
    record = {"task_id": "block_completion_000001", "lang": "python", "eval_prompt": PROGRAM,
              "ground_truth": "print(i)", "unit_tests": json.dumps(TESTS)}  # fmt: skip
    (task,) = tasks("safim", [record], tmp_path)
    assert (task.group, task.suffix) == ("block_completion/python", "\n")
    for text, passed, outcome in (
        ("print(i)", 1.0, "same"), ("print(f'{i} ')", 1.0, "passed"), ("print(i + 1)", 0.0, "failed"),
        ("raise SystemExit(1)", 0.0, "failed"), ("import os; os._exit(0)", 0.0, "left"), ("", 0.0, "failed"),
    ):  # fmt: skip
        found = scores("safim", task, text, box)
        assert (found["pass"], found["outcome"]) == (passed, outcome), (text, found)
    for changed, message in (
        ({"eval_prompt": "no gap"}, "holds no {{completion}}"), ({"unit_tests": "[1]"}, "field 'unit_tests': Type"),
        ({"lang": "go"}, "'go' is none of"), ({"unit_tests": [{"input": 1, "output": ["x"]}]}, "is not a string"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            tasks("safim", [{**record, **changed}], tmp_path)


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++ on this machine")
def test_safim_in_cpp_and_without_a_tool(tmp_path: Path, box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "#include <iostream>\nint main() { int n; std::cin >> n; for (int i = 0; i < n; i++) {{completion}} }\n"
    record = {"task_id": "control_completion_1", "lang": "cpp", "eval_prompt": source,
              "ground_truth": "{ std::cout << i << '\\n'; }", "unit_tests": TESTS}  # fmt: skip
    (task,) = tasks("safim", [record], tmp_path)
    assert scores("safim", task, "std::cout << i << std::endl;", box)["outcome"] == "passed"
    assert scores("safim", task, "std::cout << n;", box)["pass"] == 0.0
    assert scores("safim", task, "std::cout << ", box)["detail"].startswith("does not compile: main.cpp:2:")
    assert scores("safim", task, "std::cout << n;", box)["detail"] == "exit status 1 wrong answer to test 1"
    monkeypatch.setattr("aixmeg.eval.compiled.shutil.which", lambda name: None)
    (other,) = tasks("safim", [{**record, "lang": "csharp"}], tmp_path)
    assert scores("safim", other, "x", box) == {
        "pass": None, "outcome": "not run", "detail": "no tool for c#: mcs, mono is not on this machine"
    }  # fmt: skip


def test_safim_compares_calls_as_its_scorer() -> None:
    assert same_call("f(a, b = 1, c=2)", "f( a,c=2,b=1 )", "python")
    assert same_call("g(a)", "f(a)", "python")  # what is called is not compared
    assert not same_call("f(b)", "f(a)", "python")
    assert not same_call("g(a)", "f(a)", "java")
    assert same_call("f( a )", "f(a)", "java")
    assert not same_call("f(", "f(a)", "python")
    assert not same_call("(" * 5000, "f(a)", "python")


def test_nl2code(tmp_path: Path, box: Sandbox) -> None:
    made = tasks("nl2code", [
        {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n", "canonical_solution": "    return a + b\n",
         "test": "def check(f):\n    assert f(1, 2) == 3\n", "entry_point": "add"},
        {"task_id": 11, "text": "Write add.", "code": "def add(a, b):\n    return a + b\n",
         "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]},
        {"name": "HumanEval_0_add", "language": "js", "prompt": "function add(a, b) {\n", "stop_tokens": ["\n}"],
         "tests": "}\nconst assert = require('assert');\nassert.strictEqual(add(1, 2), 3);\n"},
        {"name": "HumanEval_1_add", "language": "rs", "prompt": "", "stop_tokens": [], "tests": ""},
    ], tmp_path)  # fmt: skip
    human, mbpp, javascript, rust = made
    assert [task.group for task in made] == [
        "humaneval/python", "mbpp/python", "multipl-e/javascript", "multipl-e/rust"
    ]  # fmt: skip
    for task in (human, mbpp):
        assert scores("nl2code", task, task.reference, box)["pass"] == 1.0
        assert scores("nl2code", task, "", box)["pass"] == 0.0
    more = human.reference + "\ndef add(a, b):\n    return 0\n"
    assert scores("nl2code", human, more, box)["pass"] == 1.0  # what follows the function does not count
    assert mbpp.prefix == '"""\nWrite add.\nassert add(1, 2) == 3\n"""\n'
    assert scores("nl2code", rust, "x", box) == {
        "pass": None, "outcome": "not run", "detail": "no tool for rust: it is never run"
    }  # fmt: skip
    if shutil.which("node"):
        assert scores("nl2code", javascript, "  return a + b;\n}\nother", box)["pass"] == 1.0
        assert scores("nl2code", javascript, "  return a - b;\n", box)["outcome"] == "failed"


def test_multipl_e_without_tools_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Sandbox) -> None:
    """Every language has a group and an outcome, and none without a tool is in a mean, by the command's own way."""
    records = [
        {"name": f"HumanEval_{i}_{language}", "language": language, "prompt": "", "stop_tokens": [], "tests": ""}
        for language in (*_MULTIPLE, "cpp", "py") for i in range(2)
    ]  # fmt: skip
    records = [record | {"name": f"{i}"} for i, record in enumerate(records)]
    (tmp_path / "set.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setattr("aixmeg.eval.benchmarks.nl2code.shutil.which", lambda name: None)
    summary = evaluate("nl2code", model="empty", data=tmp_path / "set.jsonl", out=tmp_path / "out")
    python = sum(record["language"] == "py" for record in records)
    assert summary["outcomes"] == {"not run": len(records) - python, "passed": python}
    assert set(summary["metrics"]) == {"", "multipl-e", *(f"multipl-e/{name}" for name in _MULTIPLE.values())}
    assert {name for name, metrics in summary["metrics"].items() if metrics} == {"", "multipl-e", "multipl-e/python"}
    assert summary["metrics"][""]["pass@1"]["tasks"] == python
    details = {json.loads(line).get("detail") for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()}
    assert "no tool for c++: g++ is not on this machine" in details
    assert "no tool for rust: it is never run" in details
    records[0]["language"] = "cobol"
    (tmp_path / "set.jsonl").write_text(json.dumps(records[0]))
    with pytest.raises(UserError, match="field 'language': 'cobol' is none of js, cpp"):
        BENCHMARKS["nl2code"].read(tmp_path / "set.jsonl")
