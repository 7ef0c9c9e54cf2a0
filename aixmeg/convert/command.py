"""`aixmeg convert to-hf RUN OUT`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from aixmeg.convert.to_hf import Conversion


def to_hf(run: Path, out: Path, *, verify: bool = False, dtype: Literal["bf16", "fp32"] | None = None) -> Conversion:
    """Convert the newest checkpoint of a run and print what was made.

    Raises:
        UserError: bad input, a full disk, or a failed verification; `out` is then as it was.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from aixmeg.convert.to_hf import convert

    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        result = convert(
            run, out, verify=verify, dtype=dtype,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )  # fmt: skip
    _summary(Console(), result)
    return result


def _summary(console: Console, result: Conversion) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_row("folder", escape(str(result.out)))
    table.add_row("checkpoint", result.source)
    table.add_row("parameters", f"{result.parameters:,}")
    table.add_row("weights", f"{result.size / 1e6:,.1f} MB of {result.dtype}")
    if result.verification is None:
        table.add_row("verified", "no (--verify compares logits with the run's)")
    else:
        found = result.verification
        table.add_row("tokenizer", "AutoTokenizer gives the run's ids")
        table.add_row(
            "verified",
            f"largest logit difference {found.largest_difference:.1e} over {found.tokens} tokens ({found.text})",
        )
    console.print(table)
    console.print(
        f"\nload it:  AutoModelForCausalLM.from_pretrained({str(result.out)!r})", highlight=False, markup=False
    )
