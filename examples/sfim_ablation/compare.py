"""What run.py measured: losses of held-out middles, scores of infills, and paired differences with intervals."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from aixmeg.eval.benchmarks.fim_eval import read
from aixmeg.eval.scores.statistics import bootstrap
from aixmeg.eval.task import Task
from aixmeg.files import atomic_write, read_json, read_jsonl, write_json
from aixmeg.languages import LANGUAGES, header_lines
from aixmeg.sfim.format import psm_prompt
from aixmeg.tokenizer import CodeTokenizer

MEASURES = {
    "middle": "loss of the middle behind prefix and suffix, nats per token, its end not counted",
    "end": "loss of the end, </s>, behind the true middle, nats",
    "left": "loss of the middle behind the prefix alone, as plain text, nats per token",
    "exact_match": "share of greedy infills that equal the reference",
    "edit_similarity": "edit similarity of greedy infills",
}
PAIRS = (("sfim", "fim"), ("sfim", "ntp"), ("fim", "ntp"))


def score(model: Path, tasks: Path, out: Path) -> None:
    """Losses of every task's reference, one line each; a file that is there stays.

    `middle` and `left` are null where the gap holds nothing; a whole task must fit into the context.
    """
    if out.exists():
        return
    tokenizer = CodeTokenizer.from_folder(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    with atomic_write(out) as file:
        for task in read(tasks):
            file.write(json.dumps({"task": task.name, **losses(network, tokenizer, task)}) + "\n")


@torch.inference_mode()
def losses(network: Any, tokenizer: CodeTokenizer, task: Task) -> dict[str, float | None]:
    """`middle`, `end` and `left` (see MEASURES) of one task."""
    header = header_lines(LANGUAGES[task.language], "")
    middle = tokenizer.encode(task.reference)
    prompt = psm_prompt(tokenizer, header=header, prefix=task.prefix, suffix=task.suffix or "")
    behind = _nats(network, prompt, [*middle, tokenizer.eos])
    plain = _nats(network, [tokenizer.bos, *tokenizer.encode(header), *tokenizer.encode(task.prefix)], middle)
    count = len(middle)
    return {
        "middle": sum(behind[:-1]) / count if count else None,
        "end": behind[-1],
        "left": sum(plain) / count if count else None,
    }


def _nats(network: Any, prompt: Sequence[int], target: Sequence[int]) -> list[float]:
    if not target:
        return []
    ids = torch.tensor([[*prompt, *target]])  # [1, s]
    logits = network(ids).logits[0, len(prompt) - 1 : -1]  # [targets, vocabulary]
    return torch.nn.functional.cross_entropy(logits, ids[0, len(prompt) :], reduction="none").tolist()


Rows = Mapping[str, Mapping[str, Any]]
"""Of one model: task → group, shape, file and measures."""


def differences(one: Rows, other: Rows, measure: str, names: Iterable[str]) -> list[float]:
    """one - other of the tasks that both have, averaged within each file: gaps of one file are not independent.

    The result is in the order of files' first tasks, so the interval of the same tasks is the same.
    """
    files = defaultdict(list)
    for name in names:
        if one[name][measure] is not None and other[name][measure] is not None:
            files[one[name]["file"]].append(one[name][measure] - other[name][measure])
    return [sum(values) / len(values) for values in files.values()]


def table(models: Mapping[str, Rows]) -> dict[str, Any]:
    """Means of each model and paired differences, of all tasks ("all") and by shape, with 95 % intervals over files."""
    first = next(iter(models.values()))
    parts = {"all": list(first)}
    for name, row in first.items():
        parts.setdefault(row["shape"], []).append(name)
    return {part: _part(models, names) for part, names in parts.items()}


def _part(models: Mapping[str, Rows], names: Sequence[str]) -> dict[str, Any]:
    zero = {name: {"file": row["file"], **dict.fromkeys(MEASURES, 0.0)}
            for name, row in next(iter(models.values())).items()}  # fmt: skip
    made: dict[str, Any] = {"tasks": len(names), "means": {}, "differences": {}}
    for measure in MEASURES:
        made["means"][measure] = {
            objective: _interval(differences(rows, zero, measure, names)) for objective, rows in models.items()
        }
        made["differences"][measure] = {
            f"{one} - {other}": _interval(differences(models[one], models[other], measure, names))
            for one, other in PAIRS
        }
    return made


def _interval(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, low, high and number of files; null without any."""
    if not values:
        return None
    found = bootstrap(values)
    return {"mean": found.mean, "low": found.low, "high": found.high, "files": len(values)}


def load(work: Path, objective: str, seed: int) -> dict[str, dict[str, Any]]:
    """What one model did, by task."""
    name = f"{objective}-{seed}"
    places = {f"{r['language']}/{r['task_id']}": r for r in read_jsonl(work / "tasks" / "tasks.jsonl")}
    rows = {row["task"]: dict(row) for row in read_jsonl(work / "losses" / f"{name}.jsonl")}
    for sample in read_jsonl(work / "eval" / name / "samples.jsonl"):
        rows[sample["task"]] |= {key: sample[key] for key in ("exact_match", "edit_similarity")}
    for task, row in rows.items():
        place = places[task]
        row |= {"shape": place["task_type"], "file": f"{place['repository']}/{place['path']}"}
    return rows


def write(work: Path, *, objectives: Sequence[str], seeds: Sequence[int]) -> None:
    """`results.json` and `index.html` in `work`."""
    trained = {}
    for objective in objectives:
        run = work / "runs" / f"{objective}-{seeds[0]}"
        config = read_json(run / "run.json")
        last = [line for line in read_jsonl(run / "metrics.jsonl") if "loss" in line][-1]
        trained[objective] = {"steps": last["step"], "loss": last["loss"], "parameters": config.get("parameters")}
    results = {
        "commit": _commit(), "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__, "measures": MEASURES, "trained": trained,
        "seeds": {str(seed): table({name: load(work, name, seed) for name in objectives}) for seed in seeds},
    }  # fmt: skip
    write_json(work / "results.json", results)
    with atomic_write(work / "index.html") as out:
        out.write(page(results))


def _commit() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def page(results: Mapping[str, Any]) -> str:
    """One table per seed and measure; differences whose interval leaves out 0 are bold."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>SFIM ablation</title><style>body{font:15px sans-serif;"
        "max-width:80em;margin:2em auto}td,th{padding:.2em .8em;text-align:right}td:first-child{text-align:left}"
        "table{border-collapse:collapse}tr{border-bottom:1px solid #ddd}</style><h1>SFIM ablation</h1>",
        f"<p>Commit {escape(results['commit'])}, {escape(results['machine'])}, torch {escape(results['torch'])}. "
        "Brackets are 95 % intervals from resampling held-out files. They say nothing about another training run. "
        "Bold differences leave out 0; of many such, one in twenty does so by chance.</p>",
    ]
    for seed, shapes in results["seeds"].items():
        for measure, meaning in results["measures"].items():
            parts.append(f"<h2>{escape(measure)}, seed {seed}</h2><p>{escape(meaning)}</p><table>")
            parts += _rows(shapes, measure)
            parts.append("</table>")
    return "\n".join(parts) + "\n"


def _rows(shapes: Mapping[str, Any], measure: str) -> Iterable[str]:
    heads = [*shapes["all"]["means"][measure], *shapes["all"]["differences"][measure]]
    yield "<tr><th>shape<th>tasks" + "".join(f"<th>{escape(head)}" for head in heads)
    for shape, row in shapes.items():
        cells = [_cell(value, bold=False) for value in row["means"][measure].values()]
        cells += [_cell(value, bold=True) for value in row["differences"][measure].values()]
        yield f"<tr><td>{escape(shape)}<td>{row['tasks']}" + "".join(f"<td>{cell}" for cell in cells)


def _cell(value: Mapping[str, float] | None, *, bold: bool) -> str:
    if value is None:
        return "–"
    text = f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
    return f"<b>{text}</b>" if bold and (value["low"] > 0 or value["high"] < 0) else text
