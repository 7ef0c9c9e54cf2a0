"""`aixmeg corpus build`."""

from __future__ import annotations

from typing import Any, Final

from aixmeg.config import Config

_WIDE: Final = 120
"""Columns of a terminal from which the reasons are explained beside their counts."""


def build(config: Config) -> dict[str, Any]:
    """Build the corpus, print what was kept and what was dropped and why, and return the report.

    Raises:
        UserError: see `aixmeg.corpus.build.build_corpus`.
    """
    from aixmeg.corpus.build import build_corpus

    output = config.paths.at("corpus")
    report = build_corpus(config.corpus, output)
    _print(report, str(output))
    return report


def _print(report: dict[str, Any], output: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from aixmeg.corpus.reasons import REASONS

    console = Console()
    kept, found = report["kept"], report["found"]
    rows = [("kept", name, one) for name, one in report["by_language"].items()]
    dropped = sorted(report["dropped"].items(), key=lambda item: -item[1]["files"])
    rows += [("dropped", name, one) for name, one in dropped]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "Language or reason"):
        table.add_column(heading)
    for heading in ("Files", "MB"):
        table.add_column(heading, justify="right")
    explained = console.width >= _WIDE
    if explained:
        table.add_column("", style="dim")
    for index, (kind, name, one) in enumerate(rows):
        first = index == 0 or rows[index - 1][0] != kind
        last = index + 1 < len(rows) and rows[index + 1][0] != kind
        explanation = [REASONS[name]] if explained and kind == "dropped" else []
        table.add_row(kind if first else "", name, f"{one['files']:,}", f"{one['bytes'] / 1e6:,.2f}", *explanation,
                      end_section=last)  # fmt: skip
    console.print(table)
    console.print(
        f"Corpus: {kept['files']:,} of {found['files']:,} files, {kept['bytes'] / 1e6:,.1f} MB in "
        f"{report['repositories']:,} repositories, {report['seconds']:.1f} s → {output}",
        highlight=False,
        soft_wrap=True,
    )
