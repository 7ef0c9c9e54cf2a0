"""Help text for the configuration: every field with its type, default and the sentence below it in the source."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Sequence

from aixmeg.config.root import Config
from aixmeg.config.root import sections as all_sections


def describe(sections: Sequence[str]) -> str:
    """Lines `--section.field TYPE (default): sentence` for each section."""
    root = Config()
    lines = ["configuration options (YAML syntax; they win over --config):"]
    wanted = [(path, section) for path, section in all_sections(root) if path.split(".")[0] in sections]
    for name, section in wanted:
        sentences = field_sentences(type(section))
        lines.append(f"\n{name}: {inspect.getdoc(section)}")
        if name == "model":
            lines.append("  --model.preset NAME: start from tiny, 1b or aixcoder_7b; other keys override it.")
        for item in dataclasses.fields(section):
            default = getattr(section, item.name)
            if dataclasses.is_dataclass(default):
                continue
            lines.append(f"  --{name}.{item.name} {item.type} ({_yaml(default)}): {sentences[item.name]}")
    return "\n".join(lines)


def field_sentences(section: type) -> dict[str, str]:
    """The string literal that follows each field in the class's source."""
    (tree,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if not (isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[before.target.id] = after.value.value
    return found


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value)
