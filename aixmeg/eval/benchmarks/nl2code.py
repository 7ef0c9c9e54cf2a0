"""Functions from their descriptions: HumanEval, MBPP and MultiPL-E, told apart by the fields of their records.

HumanEval has `prompt`, `test` and `entry_point`; MBPP has `text` (or `prompt`), `code` and `test_list`; MultiPL-E has
`prompt`, `tests`, `language` and `stop_tokens`. Python, JavaScript (node), C++ (g++) and Java (javac, with the library
javatuples where a program imports it) are executed; MultiPL-E's other languages, and those whose tool the machine
lacks, are counted as not run.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from aixmeg.errors import UserError
from aixmeg.eval import compiled
from aixmeg.eval.benchmark import Benchmark, Scores
from aixmeg.eval.sandbox import Limits, Sandbox
from aixmeg.eval.task import Record, Task, read_records

_STOP: Final = ("\nclass ", "\ndef ", "\n#", "\n@", "\nif ", "\nprint", "\nassert", "\n```", '\n"""')
"""What ends a Python function: the next thing at the margin."""
_STOP_MBPP: Final = tuple(word for word in _STOP if word not in ("\ndef ", "\nclass "))
"""Its prompt has no head, so that the completion defines at the margin."""
_MULTIPLE: Final = {
    "js": "javascript", "cpp": "c++", "java": "java", "py": "python", "adb": "ada", "clj": "clojure", "cs": "c#",
    "dart": "dart", "elixir": "elixir", "go": "go", "go_test.go": "go", "hs": "haskell", "jl": "julia", "lua": "lua",
    "ml": "ocaml", "php": "php", "pl": "perl", "r": "r", "rb": "ruby", "rkt": "racket", "rs": "rust", "scala": "scala",
    "sh": "shell", "swift": "swift", "ts": "typescript",
}  # fmt: skip
"""MultiPL-E's names of languages, and ours."""
_COMPILED: Final = ("c++", "java")
_TUPLES: Final = "org.javatuples"


def read(path: Path) -> list[Task]:
    """Tasks of any of the three sets; the group is set/language."""
    return [_task(record) for record in read_records(path)]


def _task(record: Record) -> Task:
    if record.value("test_list") is not None:
        return _mbpp(record)
    if record.value("tests") is not None:
        named = record.text("language")
        if named not in _MULTIPLE:
            raise UserError(f"{record.where}, field 'language': {named!r} is none of {', '.join(_MULTIPLE)}")
        data = {"tests": record.text("tests"), "stop": record.texts("stop_tokens")}
        return Task(
            name=record.text("name"), prefix=record.text("prompt"), suffix=None, reference="",
            language=_MULTIPLE[named], group=f"multipl-e/{_MULTIPLE[named]}", data=data,
        )  # fmt: skip
    tests = f"\n{record.text('test')}\ncheck({record.text('entry_point')})\n"
    return Task(
        name=record.text("task_id"), prefix=record.text("prompt"), suffix=None,
        reference=record.text("canonical_solution", default=""), language="python", group="humaneval/python",
        data={"tests": tests, "stop": list(_STOP)},
    )  # fmt: skip


def _mbpp(record: Record) -> Task:
    """The description and one test, as a documentation string; the tests run behind the code."""
    tests = record.texts("test_list")
    if not tests:
        raise UserError(f"{record.where}, field 'test_list': holds no test")
    setup = record.text("test_setup_code", default="")
    prompt = f'"""\n{record.text("text", "prompt").strip()}\n{tests[0]}\n"""\n'
    return Task(
        name=f"mbpp/{record.value('task_id')}", prefix=prompt, suffix=None, reference=record.text("code", default=""),
        language="python", group="mbpp/python",
        data={"tests": "\n".join(["", setup, *tests, ""]), "stop": list(_STOP_MBPP)},
    )  # fmt: skip


def cut(task: Task, text: str) -> str:
    """Up to the first stop word."""
    ends = [place for stop in task.data["stop"] if (place := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))]


def score(task: Task, completion: str, sandbox: Sandbox) -> Scores:
    """Run the tests."""
    source = f"{task.prefix}{completion}\n{task.data['tests']}"
    if lacking := _lacking(task.language, source):
        return {"pass": None, "outcome": "not run", "detail": f"no tool for {task.language}: {lacking}"}
    if task.language == "python":
        outcome = sandbox.run_python(source)
    elif task.language == "javascript":
        outcome = sandbox.run_commands({"main.js": source}, [["node", "main.js"]])
    else:
        made = compiled.program(
            task.language, source, sandbox.limits, libraries=compiled.tuples_library(), asserts=True
        )  # fmt: skip
        outcome = compiled.run(made, sandbox)
    return {"pass": float(outcome.passed), "outcome": outcome.kind, "detail": outcome.detail}


def _lacking(language: str, source: str) -> str:
    """Why a program cannot be run here; empty where it can."""
    if language == "python":
        return ""
    if language == "javascript":
        return "" if shutil.which("node") else "node is not on this machine"
    if language not in _COMPILED:
        return "it is never run"
    if absent := compiled.absent(language):
        return f"{absent} is not on this machine"
    if language == "java" and _TUPLES in source and not compiled.tuples_library():
        return f"{_TUPLES} is neither in CLASSPATH nor installed (Debian: libjavatuples-java)"
    return ""


NL2CODE: Final = Benchmark(
    name="nl2code",
    help="functions from descriptions: HumanEval, MBPP, MultiPL-E; tests judge",
    read=read,
    score=score,
    metrics=("pass",),
    cut=cut,
    max_new_tokens=512,
    executes=True,
    limits=Limits(cpu_seconds=15, wall_seconds=60),
    published={
        "humaneval/python": {"pass@1": 43.2},
        "mbpp/python": {"pass@1": 62.6},
        "multipl-e/c++": {"pass@1": 54.7},
        "multipl-e/java": {"pass@1": 49.2},
        "multipl-e/javascript": {"pass@1": 55.1},
    },
)
