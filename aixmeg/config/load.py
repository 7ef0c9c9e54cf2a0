"""YAML + command-line overrides → a validated Config, or one error that lists everything wrong."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from aixmeg.config.blend import BlendPart
from aixmeg.config.presets import PRESETS
from aixmeg.config.root import Config, sections
from aixmeg.config.validate import conflicts
from aixmeg.errors import UserError

Tree = dict[str, Any]


_ITEMS = {"blend": BlendPart}
"""What lists of sections hold."""


class _Loader(yaml.SafeLoader):
    """YAML 1.2: PyYAML reads `3e-4` as a string and `2026-01-01` as a date, and of two equal keys drops the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in lines:
                problem = f"{key.value!r} was given in line {lines[key.value]} already; leave one of the two out"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":float", ":timestamp"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?[\d_]*(?:[eE][-+]?\d+)|\d[\d_]*\.[\d_]*|\.\d[\d_]*(?:[eE][-+]?\d+)?)$"),
    list("-+0123456789."),
)


def load_config(
    file: Path | None = None, overrides: Mapping[str, str] | None = None, *, world_size: int | None = None
) -> Config:
    """Read `file`, apply `{"section.field": "yaml value"}` and validate.

    Raises:
        UserError: lists every unknown key, wrong type and conflict at once.
    """
    tree = read_yaml(file) if file is not None else {}
    apply_overrides(tree, overrides or {})
    return check_tree(tree, source=str(file) if file else "the command line", world_size=world_size)


def apply_overrides(tree: Tree, overrides: Mapping[str, str]) -> None:
    """Put `{"section.field": "yaml value"}`, or `{"section.step.field": …}`, into the tree."""
    for key, text in overrides.items():
        *sections, name = key.split(".")
        branch: Any = tree
        for section in sections:
            if isinstance(branch, dict):
                if branch.get(section) is None:
                    branch[section] = {}
                branch = branch[section]
        if isinstance(branch, dict):
            branch[name] = _parse(text, f"--{key}")


def read_yaml(file: Path) -> Tree:
    """The file as a tree of plain values; an empty file is an empty tree."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration {file}: {error}") from error
    tree = _parse(text, str(file)) or {}
    if not isinstance(tree, dict):
        raise UserError(f"{file} must hold sections such as `model:` and `train:`, not {type(tree).__name__}")
    return tree


def check_tree(tree: Tree, *, source: str, world_size: int | None = None) -> Config:
    """Validate a tree: types and keys first, then every rule that spans sections."""
    problems: list[str] = []
    tree = _apply_preset(tree, problems)
    config = _to_config(tree, problems)
    if config is not None:
        problems += conflicts(config, world_size)
    if problems or config is None:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise UserError(f"{count} in {source}:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return config


def dump_config(config: Config) -> str:
    """The whole configuration as YAML; loading it gives an equal Config."""
    plain = json.loads(json.dumps(dataclasses.asdict(config), default=str))
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=False)


def _parse(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not valid YAML: {error}") from error


def _apply_preset(tree: Tree, problems: list[str]) -> Tree:
    model = tree.get("model")
    if not isinstance(model, dict) or "preset" not in model:
        return tree
    model = dict(model)
    name = model.pop("preset")
    if name is None:
        return {**tree, "model": model}
    if not isinstance(name, str) or name not in PRESETS:
        problems.append(f"model.preset={name!r} is not a preset; choose {', '.join(PRESETS)}")
        return {**tree, "model": model}
    return {**tree, "model": dataclasses.asdict(PRESETS[name]) | model}


@functools.cache
def _adapter() -> Any:
    """Types come from the dataclasses; pydantic reports every mismatch instead of the first."""
    from pydantic import ConfigDict, TypeAdapter

    strict = ConfigDict(extra="forbid", strict=True)
    for kind in (*(type(section) for _, section in sections(Config())), *_ITEMS.values()):
        kind.__pydantic_config__ = strict  # type: ignore[attr-defined]
    return TypeAdapter(Config)


def _to_config(tree: Tree, problems: list[str]) -> Config | None:
    from pydantic import ValidationError

    present = _without_empty(tree)
    try:
        # Through JSON, so that lists become tuples and strings paths while strictness still refuses "8" for 8.
        return _adapter().validate_json(json.dumps(present, default=str))
    except ValidationError as error:
        problems += [sentence(item, Config()) for item in error.errors()]
        problems += _conflicts_of_the_rest(present, [list(item["loc"]) for item in error.errors()])
        return None


def _without_empty(tree: Tree) -> Tree:
    """Leave out sections with nothing below them (`train:`), which YAML reads as null."""
    known = {path for path, _ in sections(Config())}

    def clean(branch: Tree, path: str) -> Tree:
        found = {}
        for name, value in branch.items():
            below = f"{path}.{name}" if path else str(name)
            if below in known and value is None:
                continue
            found[name] = clean(value, below) if below in known and isinstance(value, dict) else value
        return found

    return clean(tree, "")


def _conflicts_of_the_rest(tree: Tree, broken: list[list[Any]]) -> list[str]:
    """Rules that fields of the right type break among themselves, so that the list is complete at once."""
    rest = copy.deepcopy(tree)
    names = []
    for loc in broken:
        branch, depth = rest, 0
        while depth + 1 < len(loc) and isinstance(branch.get(loc[depth]), dict):
            branch, depth = branch[loc[depth]], depth + 1
        branch.pop(loc[depth], None)
        names.append(".".join(str(part) for part in loc[: depth + 1]))
    found = conflicts(_adapter().validate_json(json.dumps(rest, default=str)))
    return [text for text in found if not any(name in text for name in names)]


def sentence(item: Mapping[str, Any], owner: Any) -> str:
    """What one of pydantic's errors says, for the options of the dataclass `owner`."""
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "unexpected_keyword_argument":
        return f"{where} is not an option{_suggestion(item['loc'], owner)}"
    return f"{where}={item['input']!r}: {item['msg'][0].lower()}{item['msg'][1:]}"


def _suggestion(loc: Iterable[Any], owner: Any) -> str:
    *parents, name = [str(part) for part in loc]
    for parent in parents:
        owner = _ITEMS.get(parent) or (owner if parent.isdigit() else getattr(owner, parent, None))
    names = [f.name for f in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
    if parents == ["model"]:
        names.append("preset")
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {'.'.join([*parents, close[0]])}?" if close else f"; choose {', '.join(names)}"
