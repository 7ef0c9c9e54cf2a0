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
    rows = [("kept", name, one) for name, one in report["by_language"].items()]
    rows += [(stage["step"], reason, one) for stage in report["funnel"] for reason, one in stage["dropped"].items()]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("Kept, or step", "Language, or why dropped"):
        table.add_column(heading)
    for heading in ("Files", "MB"):
        table.add_column(heading, justify="right")
    explained = console.width >= _WIDE
    if explained:
        table.add_column("", style="dim")
    for index, (kind, name, one) in enumerate(rows):
        first = index == 0 or rows[index - 1][0] != kind
        last = index + 1 < len(rows) and (kind == "kept") != (rows[index + 1][0] == "kept")
        explanation = [REASONS.get(name, "")] if explained and kind != "kept" else []
        table.add_row(kind if first else "", name, f"{one['files']:,}", f"{one['bytes'] / 1e6:,.2f}", *explanation,
                      end_section=last)  # fmt: skip
    console.print(table)
    for line in _last_lines(report, output):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _last_lines(report: dict[str, Any], output: str) -> list[str]:
    kept, found, counts = report["kept"], report["found"], report["counts"]
    replaced = sum(number for name, number in counts.items() if name.startswith("scrub."))
    changes = [
        f"{number:,} {what}"
        for number, what in (
            (replaced, "secrets and personal data replaced"),
            (counts.get("commented.removed", 0), "blocks of commented-out code removed"),
        )
        if number
    ]
    speed = report["timing"]["mb_per_cpu_second"]
    return [
        *([f"Changed: {', '.join(changes)}"] if changes else []),
        f"Corpus: {kept['files']:,} of {found['files']:,} files, {kept['bytes'] / 1e6:,.1f} MB in "
        f"{report['repositories']:,} repositories, {report['seconds']:.1f} s"
        + (f", {speed:.1f} MB per CPU second" if speed and speed >= 0.1 else "")
        + f" → {output}",
    ]
