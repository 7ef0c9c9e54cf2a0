"""examples/lm_eval: the task files are whole, and score what `aixmeg eval` scores, without lm-eval being installed."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from aixmeg.errors import UserError
from aixmeg.eval.benchmarks import BENCHMARKS
from aixmeg.eval.sandbox import Limits, Sandbox
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.tokenizer import SPECIAL_PIECES

FOLDER = Path(__file__).parents[3] / "examples" / "lm_eval"
TASKS = sorted(file for file in FOLDER.glob("*.yaml") if not file.name.startswith("_"))
SETS = {"humaneval": "humaneval-infilling", "santacoder": "santacoder", "safim": "safim"}


class _Loader(yaml.SafeLoader):
    """Reads `!function utils.score` as the text behind it."""


_Loader.add_constructor("!function", lambda loader, node: f"!function {node.value}")


def task(file: Path) -> dict:
    found = yaml.load(file.read_text(), _Loader)
    return (task(FOLDER / found.pop("include")) if "include" in found else {}) | found


@pytest.fixture(scope="module")
def utils() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lm_eval_utils", FOLDER / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox("namespaces", Limits(cpu_seconds=20, wall_seconds=300), remember=True) as sandbox:
        try:
            sandbox.check()
        except UserError as error:
            pytest.skip(f"no namespaces here: {error}")
        yield sandbox


HEAD = "def add(a, b):\n    # a longer body than one line\n"
CHECK = "\n\ndef check(candidate):\n    assert candidate(2, 3) == 5\n"
LOOP = "n = int(input())\nfor i in range(n):\n    {{completion}}\n"
RUNS = json.dumps([{"input": "3\n", "output": ["0\n1\n2\n"]}, {"input": "1", "output": ["never", "0"]}])
RECORDS = {
    "humaneval": [
        {"task_id": f"{part}/own/{i}", "entry_point": "add", "prompt": HEAD, "suffix": "    return total\n",
         "canonical_solution": "    total = a + b\n", "test": CHECK}
        for i, part in enumerate(
            ("SingleLineInfilling", "MultiLineInfilling", "RandomSpanInfilling", "RandomSpanInfillingLight")
        )
    ],
    "santacoder": [
        {"name": "own", "language": language, "prompt": "a = 1\n", "suffix": "\nb", "canonical_solution": "    b = a;"}
        for language in ("py", "java", "js")
    ],
    "safim": [
        {"task_id": "block_completion_1", "lang": "python", "eval_prompt": LOOP, "ground_truth": "print(i)",
         "unit_tests": RUNS},
        {"task_id": "control_completion_1", "lang": "python", "eval_prompt": LOOP, "ground_truth": "print(i)",
         "unit_tests": RUNS},
        {"task_id": "api_completion_1", "lang": "python", "eval_prompt": "x = {{completion}}\n",
         "ground_truth": "load(path, mode=1, key=2)", "unit_tests": []},
        {"task_id": "api_completion_2", "lang": "java", "eval_prompt": "x = {{completion}};\n",
         "ground_truth": "load(path)", "unit_tests": []},
    ],
}  # fmt: skip
TRIED = (
    "", "    total = a + b\n", "    total = a - b\n", "    total = a + b; total += 0\n", "raise SystemExit(0)",
    "import os; os._exit(0)", "    b = a;", "b = a;\nmore", "\n\n  b = a;", "    b = b;", "print(i)", "print(f'{i} ')",
    "print(i + 1)", "load(path, key=2, mode=1)", "other( path, mode=1, key = 2)", "load(path)", "load( path )", "(",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    for name, records in RECORDS.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.mark.parametrize("file", TASKS, ids=lambda file: file.stem)
def test_a_task_file_is_whole(file: Path, utils: ModuleType, data: Path) -> None:
    found = task(file)
    assert found["task"] == f"fim_{file.stem}"
    for value in (found["custom_dataset"], found["process_results"]):
        module, name = value.removeprefix("!function ").split(".")
        assert module == "utils"
        assert callable(getattr(utils, name))
    options = found["dataset_kwargs"]
    rows = [utils.row(record, options["name"], options.get("part", ""), options.get("language", ""))
            for record in utils.records(data)]  # fmt: skip
    (row,) = [one for one in rows if one is not None]  # of ten records one is this task's
    score = getattr(utils, found["process_results"].rpartition(".")[2])
    metrics = [metric["metric"] for metric in found["metric_list"]]
    assert score(row, [row["reference"]]) == {metrics[0]: 1.0}
    assert score(row, [""]) == {metrics[0]: 0.0}
    assert found.get("unsafe_code", False) == (options["name"] != "santacoder")
    assert found["generation_kwargs"]["until"] == []  # blank lines may stand in a gap
    assert found["target_delimiter"] == ""
    assert found["generation_kwargs"]["max_gen_toks"] == BENCHMARKS[SETS[options["name"]]].max_new_tokens


@pytest.mark.parametrize("name", SETS)
def test_scores_are_those_of_aixmeg(name: str, utils: ModuleType, data: Path, box: Sandbox) -> None:
    benchmark = BENCHMARKS[SETS[name]]
    tasks = benchmark.read(data / f"{name}.jsonl")
    scores = set()
    for record, one in zip(RECORDS[name], tasks, strict=True):
        row = utils.row(record, name, "", "") if record.get("lang") != "c#" else None
        for text in TRIED:
            (value,) = getattr(utils, f"score_{name}")(row, [text]).values()
            ours = benchmark.score(one, benchmark.cut(one, text), box)
            assert value == ours[benchmark.metrics[0]], (one.name, text, ours)
            scores.add(value)
    assert scores == {0.0, 1.0}


def test_prompts(utils: ModuleType) -> None:
    for piece in ("prefix", "suffix", "middle"):
        assert utils.AIXCODER.count(SPECIAL_PIECES[piece]) == 1
    for language, header in utils.HEADERS.items():
        assert header == header_lines(LANGUAGES[language], "")


def test_programs_that_do_not_end_well(utils: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(utils, "WALL_SECONDS", 2)
    assert utils.passes("x = 1")
    child = f"import os, time\nif os.fork() == 0:\n    time.sleep(3)\n    open({str(tmp_path / 'left')!r}, 'w')\n"
    for source in ("while True: pass", "x = 'a' * 10**10", "exit()", "raise SystemExit", "import os; os._exit(0)", "(",
                   "open('big', 'wb').write(b'a' * 10**8)"):  # fmt: skip
        assert not utils.passes(source), source
    assert utils.passes(child)
    time.sleep(4)
    assert not list(tmp_path.iterdir())  # what it started ended with it


def test_data_that_are_not_there(utils: ModuleType, data: Path) -> None:
    with pytest.raises(ValueError, match="name the set's files: --metadata"):
        utils.load(name="humaneval")
    with pytest.raises(ValueError, match="holds no record of humaneval SingleLineInfilling"):
        utils.load(name="humaneval", part="SingleLineInfilling", data=str(data / "safim.jsonl"))


@pytest.mark.skipif(
    "AIXMEG_HUMANEVAL_INFILLING" not in os.environ, reason="AIXMEG_HUMANEVAL_INFILLING names no files of the real set"
)
def test_the_real_set(utils: ModuleType, box: Sandbox) -> None:
    path = Path(os.environ["AIXMEG_HUMANEVAL_INFILLING"])
    benchmark = BENCHMARKS["humaneval-infilling"]
    records, tasks = list(utils.records(path)), benchmark.read(path)
    step = max(1, len(tasks) // 25)
    for record, one in list(zip(records, tasks, strict=True))[::step]:
        row = utils.row(record, "humaneval", "", "")
        assert utils.score_humaneval(row, [row["reference"]]) == {"pass@1": 1.0}
        assert utils.score_humaneval(row, [""])["pass@1"] == benchmark.score(one, "", box)["pass"], one.name


def test_lm_eval_runs_them(data: Path) -> None:
    lm_eval = pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Oracle(LM):
        def generate_until(self, requests: list, disable_tqdm: bool = False) -> list[str]:
            assert all(one.arguments[0].startswith("<s>\u2581<AIX-SPAN-PRE>") for one in requests)
            return [one.doc["reference"] for one in requests]

        loglikelihood = loglikelihood_rolling = generate_until

    names = [f"fim_{file.stem}" for file in TASKS]
    manager = TaskManager(include_path=str(FOLDER), include_defaults=False, metadata={"data": str(data)})
    found = lm_eval.simple_evaluate(
        model=Oracle(), tasks=names, task_manager=manager, confirm_run_unsafe_code=True, bootstrap_iters=0
    )
    for name in names:
        metric = "exact_match" if "santacoder" in name else "pass@1"
        assert found["results"][name][f"{metric},none"] == 1.0, name
