"""`aixmeg data build` and `aixmeg data show`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aixmeg.config import Config


def build(config: Config) -> dict[str, Any]:
    """Build the training data and print what it came to; returns the content of data.json.

    Raises:
        UserError: see `aixmeg.data.builder.build_data`.
    """
    from rich.console import Console

    from aixmeg.data.builder import build_data

    start = time.monotonic()
    summary = build_data(config)
    _print_summary(Console(highlight=False), config, summary, time.monotonic() - start)
    return summary


def show(config: Config, *, count: int, split: str, index: int | None = None, raw: bool = False) -> None:
    """Print built examples with prefix, suffix and middle in colour.

    Raises:
        UserError: see `aixmeg.data.show.show_examples`.
    """
    from rich.console import Console

    from aixmeg.data.show import show_examples
    from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

    tokenizer = CodeTokenizer.from_folder(config.paths.at("tokenizer"))
    console = Console(highlight=False)
    show_examples(console, config.paths.at("data"), tokenizer, split=split, count=count, index=index, raw=raw)


def _print_summary(console: Any, config: Config, summary: Mapping[str, Any], seconds: float) -> None:
    from rich.table import Table

    from aixmeg.data.totals import files_of

    for split in ("train", "valid"):
        if split not in summary:
            continue
        part = summary[split]
        name = {"train": "training", "valid": "held-out"}[split]
        console.print(
            f"[bold]{_plural(part['files'], f'{name} example')}[/] from {_plural(part['repositories'], 'repository')}: "
            f"{part['tokens']:,} tokens, {part['bytes_per_token']:.2f} bytes per token",
            soft_wrap=True,
        )
    train = summary["train"]
    table = Table("training", "examples", "share", "tokens", "bytes/token", box=None, header_style="bright_black")
    for column in table.columns[1:]:
        column.justify = "right"
    for title in ("by_objective", "by_mode", "by_language"):
        for name, counted in list(train[title].items())[:8]:
            if name == "none":
                continue
            share = counted["files"] / train["files"]
            ratio = counted["bytes"] / counted["tokens"]
            table.add_row(name, f"{counted['files']:,}", f"{share:.1%}", f"{counted['tokens']:,}", f"{ratio:.2f}")
        table.add_section()
    console.print(table)
    for title, key in (("strategies", "by_strategy"), ("most frequent nodes", "by_node")):
        if train[key]:
            common = ", ".join(f"{name} {number:,}" for name, number in list(train[key].items())[:6])
            console.print(f"{title}: {common}", soft_wrap=True)
    for reason, languages in train["without_tree"].items():
        instead = {"line": "whole lines", "random": "a random span", "ntp": "ntp"}[config.data.sfim.without_tree]
        console.print(
            f"without a syntax tree's middle ({reason}): {_plural(files_of(languages), 'file')}, {instead} instead, in "
            + ", ".join(list(languages)[:6]),
            soft_wrap=True,
        )
    where = config.paths.at("data")
    console.print(f"written to {where} in {seconds:.0f} s; look at it with `aixmeg data show`", soft_wrap=True)


def _plural(number: int, noun: str) -> str:
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"
