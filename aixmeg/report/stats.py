"""`aixmeg data stats`: what the built data holds, as a table, a page and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aixmeg.config import Config
from aixmeg.files import atomic_write, read_json, write_json

_SIZES = ("files", "bytes", "tokens")
_TABLES = ("by_objective", "by_mode", "by_strategy", "by_language", "by_node", "middle_lengths", "without_tree")


def stats(config: Config, *, out: Path | None = None) -> dict[str, Any]:
    """Print the shares, write the page and stats.json beside it, and return what stats.json holds.

    Args:
        config: only `paths` is read.
        out: page to write; None means stats.html in the data folder.

    Raises:
        UserError: there is no built data, or the disk refuses a write.
    """
    from aixmeg.report.page import render_sections
    from aixmeg.report.sections import data_sections

    folder = config.paths.at("data")
    tree = read_json(folder / "data.json")
    counted = summary(tree)
    target = out or folder / "stats.html"
    page = render_sections(
        f"{folder.resolve().name}: aixmeg data", data_sections(tree), written=datetime.now().astimezone()
    )
    with atomic_write(target) as file:
        file.write(page)
    write_json(target.with_suffix(".json"), counted)
    _print(counted)
    print(f"page: {target}")
    return counted


def summary(tree: Mapping[str, Any]) -> dict[str, Any]:
    """data.json's counts with their shares: of files, of tokens, of middles; by split."""
    found: dict[str, Any] = {}
    for split in ("train", "valid"):
        if isinstance(part := tree.get(split), Mapping):
            found[split] = {
                **{name: part.get(name, 0) for name in ("repositories", *_SIZES, "middle_tokens")},
                **{name: _with_shares(part[name], part) for name in _TABLES if isinstance(part.get(name), Mapping)},
            }
    if "packing" in tree:
        found["packing"] = tree["packing"]
    return found


def _with_shares(table: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    if all(isinstance(value, Mapping) and "files" in value for value in table.values()):
        return {
            name: {**value, "share_of_files": value["files"] / max(whole["files"], 1),
                   "share_of_tokens": value["tokens"] / max(whole["tokens"], 1)}
            for name, value in table.items()
        }  # fmt: skip
    if any(isinstance(value, Mapping) for value in table.values()):
        return {name: dict(value) for name, value in table.items()}
    total = sum(table.values())
    return {name: {"files": value, "share": value / max(total, 1)} for name, value in table.items()}


def _print(counted: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("training data", "files", "share", "tokens", box=None, header_style="bright_black")
    for column in table.columns[1:]:
        column.justify = "right"
    train = counted["train"]
    for name in ("by_objective", "by_mode", "by_strategy", "by_language", "middle_lengths"):
        for key, value in list(train.get(name, {}).items())[:12]:
            share = value.get("share_of_files", value.get("share", 0.0))
            label = f"middles of {key}+ tokens" if name == "middle_lengths" else key.replace("_", " ")
            table.add_row(
                label, f"{value['files']:,}", f"{share:.1%}", f"{value['tokens']:,}" if "tokens" in value else ""
            )
        table.add_section()
    Console(highlight=False).print(table)
    for reason, languages in train.get("without_tree", {}).items():
        most = ", ".join(f"{name} {count:,}" for name, count in list(languages.items())[:6])
        print(f"{reason}: {sum(languages.values()):,} files ({most})")
    if packed := counted.get("packing"):
        samples, padding = packed["samples"], packed["padding_share"]
        print(f"packing at {packed['seq_length']}: {samples:,} samples, {padding:.2%} padding")
