"""What a run left behind, read with distrust: a part may be missing or wrong, which is said, not raised."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aixmeg.cluster.troubles import read_all_troubles
from aixmeg.config import Config, dump_config, read_yaml
from aixmeg.errors import UserError
from aixmeg.files import read_json
from aixmeg.report.scale import Values
from aixmeg.watch.troubles import Trouble

_TRAIN = ("step", "loss", "ntp_loss", "middle_loss", "grad_norm", "lr", "tokens", "tokens_per_second", "seconds",
          "mfu_causal", "memory_peak", "goodput", "seconds_data", "seconds_communication", "seconds_checkpoint",
          "norm_attention", "norm_mlp")  # fmt: skip
_VALID = ("step", "ntp_loss", "middle_loss", "infill_exact_match", "infill_edit_similarity", "infills")
Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Metrics:
    """metrics.jsonl by columns; what is missing or not a number is NaN; steps rise strictly."""

    train: Mapping[str, Values]
    valid: Mapping[str, Values]
    unreadable: int = 0
    """Lines that are not records, the last one apart."""
    cut: bool = False
    """The last line has no end: the run was killed while it wrote, or is writing now."""
    languages: Sequence[Tree] = ()
    """For each validation, its scores by language; empty where it has none."""


@dataclass(frozen=True)
class Part:
    """One input of the page."""

    content: Any = None
    missing: str = ""
    """Why there is no content, as a sentence; empty when there is."""

    @property
    def tree(self) -> Tree:
        """The content, for parts whose content is a JSON object; an empty one when it is missing."""
        return self.content if isinstance(self.content, dict) else {}


@dataclass(frozen=True)
class Run:
    """Everything the page shows."""

    name: str
    metrics: Part
    corpus: Part
    tokenizer: Part
    data: Part
    facts: Part
    """run.json: unigram losses, versions, ranks, start."""
    infills: Part
    config_text: str
    """config.yaml of the run, or what the command line says where the run has none."""
    options: Tree = field(default_factory=dict)
    """The same as a tree of sections."""
    troubles: Sequence[Trouble] = ()
    """Attempts that ended early, failures, slow ranks and lost checkpoints, oldest first."""


def load_run(config: Config) -> Run:
    """Read every part of the run.

    Raises:
        UserError: there is no part at all.
    """
    run = config.paths.at("run")
    parts = {
        "metrics": _part(run / "metrics.jsonl", "`aixmeg train`", read_metrics),
        "corpus": _object(config.paths.at("corpus") / "report.json", "`aixmeg corpus build`"),
        "tokenizer": _object(config.paths.at("tokenizer") / "tokenizer_report.json", "`aixmeg tokenizer train`"),
        "data": _object(config.paths.at("data") / "data.json", "`aixmeg data build`"),
        "facts": _object(run / "run.json", "`aixmeg train`"),
        "infills": _part(run / "infills.json", "`aixmeg quickstart`", _read_infills),
    }
    settings = _part(run / "config.yaml", "`aixmeg train`", lambda path: path.read_text(encoding="utf-8"))
    if all(part.missing for part in [*parts.values(), settings]):
        looked = ", ".join(str(config.paths.at(name)) for name in ("run", "corpus", "tokenizer", "data"))
        raise UserError(f"there is nothing to report in {looked}: a report needs at least one stage's output; "
                        "run `aixmeg corpus build` or `aixmeg train` first, or set --paths.root")  # fmt: skip
    text = settings.content or dump_config(config)
    return Run(name=_name(run), config_text=text, options=_options(run / "config.yaml", config),
               troubles=read_all_troubles(run), **parts)  # fmt: skip


def _name(run: Path) -> str:
    """The run directory's name; where that is the default `run`, the folder around it says more."""
    folder = run.resolve()
    return folder.parent.name if folder.name == "run" and folder.parent.name else folder.name


def _part(path: Path, maker: str, read: Any) -> Part:
    if not path.exists():
        return Part(missing=f"There is no {path.name} in {path.parent}; {maker} writes it.")
    try:
        return Part(content=read(path))
    except UserError as error:
        return Part(missing=str(error))
    except (OSError, ValueError, RecursionError) as error:
        return Part(missing=f"cannot read {path}: {error}")


def _object(path: Path, maker: str) -> Part:
    part = _part(path, maker, read_json)
    if not part.missing and not isinstance(part.content, dict):
        return Part(missing=f"{path} holds {type(part.content).__name__} where a JSON object belongs.")
    return part


def _read_infills(path: Path) -> list[Tree]:
    content = read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} holds {type(content).__name__} where a list belongs")
    return [item for item in content if isinstance(item, dict)]


def _options(path: Path, config: Config) -> Tree:
    import yaml

    try:
        if path.exists():
            return read_yaml(path)
    except (UserError, RecursionError):
        pass  # its text is still shown
    return yaml.safe_load(dump_config(config))


def read_metrics(path: Path) -> Metrics:
    """Read a metrics file of any length, also one that is being written."""
    train = {name: array("d") for name in _TRAIN}
    valid = {name: array("d") for name in _VALID}
    trained_before = array("d")  # for each validation, how many train records precede it in the file
    languages: list[Tree] = []
    unreadable, cut = 0, False
    with path.open("rb") as file:
        for line in file:
            record = _record(line)
            if record is None:
                cut = not line.endswith(b"\n")
                unreadable += not cut and not line.isspace()
                continue
            columns = valid if record.get("kind") == "valid" else train
            for name, column in columns.items():
                column.append(number(record.get(name)))
            if columns is valid:
                trained_before.append(len(train["step"]))
                languages.append(dict(items(record, "languages")))
    newest = _least_step_after(np.array(train["step"]))
    valid_columns = {name: np.array(column) for name, column in valid.items()}
    valid_columns["place"] = np.arange(len(languages), dtype=np.float64)
    superseded = newest[np.array(trained_before, dtype=np.int64)] < valid_columns["step"]
    valid_columns = {name: column[~superseded] for name, column in valid_columns.items()}
    newest_valid = dict(_newest(valid_columns))
    shown = [languages[int(place)] for place in newest_valid.pop("place")]
    return Metrics(_newest({n: np.array(c) for n, c in train.items()}), newest_valid, unreadable, cut, shown)


def _record(line: bytes) -> Tree | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get("kind") not in ("train", "valid"):
        return None
    return record if math.isfinite(number(record.get("step"))) else None


def _least_step_after(steps: Values) -> Values:
    """For every position, and one past the end, the least step from there on: infinite at the end."""
    return np.append(np.minimum.accumulate(steps[::-1])[::-1], np.inf)


def _newest(columns: Mapping[str, Values]) -> Mapping[str, Values]:
    """Drop records that a resumed run trained again: a later line with the same or a lower step replaces them."""
    steps = columns["step"]
    keep = steps < _least_step_after(steps)[1:]
    return {name: column[keep] for name, column in columns.items()}


def number(value: object) -> float:
    """A JSON number as float; NaN for anything else, and for integers that no float can hold."""
    if type(value) is float:
        return value
    try:
        return float(value) if type(value) is int else math.nan  # a bool is no number here
    except OverflowError:
        return math.nan


def at(tree: object, *keys: str) -> Any:
    """The value below `keys`, or None where any of them is missing or not an object."""
    for key in keys:
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def figure(tree: object, *keys: str) -> float | None:
    """The finite number below `keys`, or None."""
    value = number(at(tree, *keys))
    return value if math.isfinite(value) else None


def items(tree: object, *keys: str) -> Sequence[tuple[str, Any]]:
    """The entries of the object below `keys`; none where there is no object."""
    below = at(tree, *keys)
    return [(str(key), value) for key, value in below.items()] if isinstance(below, Mapping) else []
