"""SAFIM: blocks, control-flow expressions and calls of libraries (Gong et al., arXiv 2403.04814).

Records: `task_id`, `lang`, `eval_prompt` with `{{completion}}` in the gap, `ground_truth`, and `unit_tests` (a list, or
its JSON) of `{"input": text, "output": [texts]}`; without tests the completion is compared with the truth. As in the
published scorer, the truth itself passes without being run, and calls in Python are compared by their arguments.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aixmeg.errors import UserError
from aixmeg.eval import compiled
from aixmeg.eval.benchmark import Benchmark, Scores
from aixmeg.eval.sandbox import Limits, Outcome, Sandbox
from aixmeg.eval.task import Record, Task, read_records

_GAP: Final = "{{completion}}"
_LANGUAGES: Final = {"python": "python", "java": "java", "cpp": "c++", "csharp": "c#"}
_LONGEST_CALL: Final = 10_000  # characters that are parsed as Python
_DRIVER: Final = """
import contextlib, io, sys
for given, wanted in {tests!r}:
    sys.stdin, printed = io.StringIO(given), io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile({source!r}, "main.py", "exec"), {{"__name__": "__main__"}})
        except SystemExit as end:
            assert not end.code, f"exit status {{end.code}}"
    found = [line.rstrip() for line in printed.getvalue().strip().split("\\n")]
    assert any(found == [line.rstrip() for line in text.strip().split("\\n")] for text in wanted), "wrong answer"
"""


def read(path: Path) -> list[Task]:
    """Tasks; the group is part/language, the part being `task_id` without its number."""
    tasks = []
    for record in read_records(path):
        before, gap, after = record.text("eval_prompt").partition(_GAP)
        if not gap:
            raise UserError(f"{record.where}, field 'eval_prompt': holds no {_GAP}")
        named = record.text("lang")
        if named not in _LANGUAGES:
            raise UserError(f"{record.where}, field 'lang': {named!r} is none of {', '.join(_LANGUAGES)}")
        name, language = record.text("task_id"), _LANGUAGES[named]
        part = re.sub(r"[_\d-]+$", "", name) or "safim"
        tasks.append(
            Task(
                name=name, prefix=before, suffix=after, reference=record.text("ground_truth"), language=language,
                group=f"{part}/{language}", data={"tests": _tests(record)},
            )
        )  # fmt: skip
    return tasks


def _tests(record: Record) -> list[tuple[str, list[str]]]:
    value: Any = record.value("unit_tests") or []
    try:
        tests = json.loads(value) if isinstance(value, str) else value
        found = [(test["input"], [test["output"]] if isinstance(test["output"], str) else list(test["output"]))
                 for test in tests]  # fmt: skip
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{record.where}, field 'unit_tests': {type(error).__name__}: {error}; it must be a list of "
            '{"input": text, "output": [texts]}'
        ) from error
    if not all(isinstance(text, str) for given, wanted in found for text in (given, *wanted)):
        raise UserError(f"{record.where}, field 'unit_tests': an input or output is not a string")
    return found


def same_call(completion: str, reference: str, language: str) -> bool:
    """Equal without blanks; in Python also calls with equal arguments, keywords in any order."""
    ours, theirs = (re.sub(r"\s+", "", text) for text in (completion, reference))
    if ours == theirs or language != "python" or len(ours) > _LONGEST_CALL:
        return ours == theirs
    try:
        a, b = (ast.parse(text, mode="eval").body for text in (ours, theirs))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    # The published scorer does not look at what is called.
    return isinstance(a, ast.Call) and isinstance(b, ast.Call) and _arguments(a) == _arguments(b)


def _arguments(call: ast.Call) -> tuple[list[str], dict[str | None, str]]:
    return [ast.dump(one) for one in call.args], {one.arg: ast.dump(one.value) for one in call.keywords}


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Run the tests, or compare."""
    if not task.data["tests"]:
        same = same_call(completion, task.reference, task.language)
        return {"pass": float(same), "outcome": "same" if same else "differs", "detail": ""}
    if completion == task.reference:
        return {"pass": 1.0, "outcome": "same", "detail": ""}
    source = f"{task.prefix}{completion}{task.suffix}"
    if task.language == "python":
        outcome = sandbox.run_python(_DRIVER.format(tests=task.data["tests"], source=source))
    elif lacking := compiled.absent(task.language):
        why = f"no tool for {task.language}: {lacking} is not on this machine"
        return {"pass": None, "outcome": "not run", "detail": why}
    else:
        outcome = _run(compiled.program(task.language, source, sandbox.limits), task.data["tests"], sandbox)
    return {"pass": float(outcome.passed), "outcome": outcome.kind, "detail": outcome.detail}


def _run(made: compiled.Program, tests: Sequence[tuple[str, Sequence[str]]], sandbox: Sandbox) -> Outcome:
    """All tests of a program."""
    files, commands = {}, []
    for i, (given, wanted) in enumerate(tests):
        files[f"in{i}"] = given
        files |= {f"want{i}_{j}": text for j, text in enumerate(wanted)}
        compare = " || ".join(f"diff -qbB out{i} want{i}_{j} > /dev/null" for j in range(len(wanted)))
        wrong = f"echo wrong answer to test {i + 1}; exit 1"
        commands.append(f"{made.start} < in{i} > out{i} || exit; {compare or 'false'} || {{ {wrong}; }}")
    return compiled.run(made, sandbox, files=files, tests=commands)


SAFIM: Final = Benchmark(
    name="safim",
    help="blocks, control-flow expressions and library calls, judged by tests or comparison",
    read=read,
    score=score,
    metrics=("pass",),
    executes=True,
    limits=Limits(cpu_seconds=15, wall_seconds=60),
)
