"""Functions of the task files: prompts with a model's infilling pieces, and the scores of each set.

Needs lm-evaluation-harness, not aixmeg. Data are files that you have, named by `--metadata`; nothing is downloaded.
"""

import ast
import contextlib
import functools
import gzip
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]

AIXCODER = "<s>\u2581<AIX-SPAN-PRE>{header}{prefix}\u2581<AIX-SPAN-POST>{suffix}\u2581<AIX-SPAN-MIDDLE>"
"""aiXcoder's prompt, prefix first; {header} is the line that names the language."""
HEADERS = {
    "python": "# the code file is written by Python\n",
    "java": "// the code file is written by Java\n",
    "javascript": "// the code file is written by JavaScript\n",
}
LANGUAGES = {"py": "python", "python": "python", "java": "java", "js": "javascript", "javascript": "javascript"}
GAP = "{{completion}}"
WALL_SECONDS = 20
START = """
import resource, runpy, sys
for what, most in (("CPU", 5), ("AS", 1 << 30), ("FSIZE", 32 << 20), ("CORE", 0)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + what), (most, most))
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Starts a program with limits on CPU seconds, memory and files in bytes."""
RUN_STDIN = """
import contextlib, io, sys
for given, wanted in {tests!r}:
    sys.stdin, printed = io.StringIO(given), io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile({source!r}, "main.py", "exec"), {{"__name__": "__main__"}})
        except SystemExit as end:
            assert not end.code
    found = [line.rstrip() for line in printed.getvalue().strip().split("\\n")]
    assert any(found == [line.rstrip() for line in text.strip().split("\\n")] for text in wanted)
"""


# -- data and prompts


def load(
    *, name: str, part: str = "", language: str = "", data: str | None = None, prompt: str = AIXCODER, **_: Any
) -> dict[str, Any]:
    """What lm_eval asks for the tasks of a yaml file: {"test": data set}.

    `data` (a .jsonl or .jsonl.gz file, or a folder of them) and `prompt` come from --metadata, the rest from the yaml.
    """
    if data is None:
        raise ValueError("""name the set's files: --metadata '{"data": "FILE_OR_FOLDER"}'""")
    rows = [one for record in records(Path(data)) if (one := row(record, name, part, language)) is not None]
    if not rows:
        raise ValueError(f"{data} holds no record of {name} {part} {language}; is it another set's file?")
    for one in rows:
        one["text"] = prompt.format(header=HEADERS[one["language"]], prefix=one["prompt"], suffix=one["suffix"])
    from datasets import Dataset

    return {"test": Dataset.from_list(rows)}


def records(path: Path) -> Iterator[Row]:
    """The objects of a file, or of a folder's files in the order of their names."""
    for file in sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def row(record: Row, name: str, part: str, language: str) -> Row | None:
    """What a task needs of a record, or None where it is of another part."""
    try:
        made = ROWS[name](record)
    except KeyError:
        return None  # another set's record
    fits = made["part"] == part if part else True
    return made if fits and (not language or made["language"] == language) else None


def _humaneval(record: Row) -> Row:
    return {
        "part": record["task_id"].split("/")[0], "language": "python", "prompt": record["prompt"],
        "suffix": record["suffix"], "reference": record["canonical_solution"], "tests": "",
        "behind": f"\n{record['test']}\ncheck({record['entry_point']})",
    }  # fmt: skip


def _santacoder(record: Row) -> Row:
    return {
        "part": "", "language": LANGUAGES[record["language"].lower()], "prompt": record["prompt"],
        "suffix": record["suffix"], "reference": record["canonical_solution"], "tests": "", "behind": "",
    }  # fmt: skip


def _safim(record: Row) -> Row:
    before, _, after = record["eval_prompt"].partition(GAP)
    tests = record.get("unit_tests") or []
    tests = json.loads(tests) if isinstance(tests, str) else tests
    pairs = [
        (one["input"], [one["output"]] if isinstance(one["output"], str) else list(one["output"])) for one in tests
    ]
    return {
        "part": re.sub(r"[_\d-]+$", "", record["task_id"]), "language": LANGUAGES[record["lang"]], "prompt": before,
        "suffix": after, "reference": record["ground_truth"], "tests": json.dumps(pairs), "behind": "",
    }  # fmt: skip


ROWS = {"humaneval": _humaneval, "santacoder": _santacoder, "safim": _safim}


# -- scores: (row, [completion]) -> {metric: value}


def score_humaneval(doc: Row, results: list[str]) -> dict[str, float]:
    """Whether the program passes its tests."""
    return {"pass@1": float(passes(f"{doc['prompt']}{results[0]}{doc['suffix']}{doc['behind']}"))}


def score_santacoder(doc: Row, results: list[str]) -> dict[str, float]:
    """Whether the first line that is written is the one that stood there."""
    line = results[0].lstrip("\n\r").split("\n", 1)[0]
    return {"exact_match": float(line.strip() == doc["reference"].strip())}


def score_safim(doc: Row, results: list[str]) -> dict[str, float]:
    """Whether the program passes its tests; without tests, whether the call is the same."""
    completion, tests = results[0], json.loads(doc["tests"])
    if not tests:
        return {"pass@1": float(same_call(completion, doc["reference"], doc["language"]))}
    if completion == doc["reference"]:
        return {"pass@1": 1.0}
    source = f"{doc['prompt']}{completion}{doc['suffix']}"
    return {"pass@1": float(passes(RUN_STDIN.format(tests=tests, source=source)))}


def same_call(completion: str, reference: str, language: str) -> bool:
    """Equal without blanks; in Python also calls with equal arguments, keywords in any order."""
    ours, theirs = (re.sub(r"\s+", "", text) for text in (completion, reference))
    if ours == theirs or language != "python" or len(ours) > 10_000:
        return ours == theirs
    try:
        calls = [ast.parse(text, mode="eval").body for text in (ours, theirs)]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    if not all(isinstance(call, ast.Call) for call in calls):
        return False
    ours, theirs = (
        ([ast.dump(one) for one in call.args], {one.arg: ast.dump(one.value) for one in call.keywords})
        for call in calls
    )
    return ours == theirs


@functools.lru_cache(maxsize=10_000)
def passes(source: str) -> bool:
    """Run a program in a process with limits on time, memory and files. This is no jail: use a machine you can lose.

    It passes when its last statement has been executed: leaving early does not.
    """
    word = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as reached:
        descriptor = reached.fileno()
        ended = f"\n__import__('os').write({descriptor}, b'{word}')\n"
        main = Path(folder) / "main.py"
        main.write_bytes((source + ended).encode("utf-8", "replace"))
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", START, str(main)], cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(descriptor,), start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(WALL_SECONDS)
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.wait()
        reached.seek(0)
        return reached.read() == word.encode()
