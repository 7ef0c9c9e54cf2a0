"""`aixmeg convert to-hf RUN OUT` and `aixmeg convert from-hf HF_DIR RUN`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from aixmeg.convert.from_hf import Import
    from aixmeg.convert.to_hf import Conversion
    from aixmeg.convert.verify import Verification


def to_hf(
    run: Path,
    out: Path,
    *,
    verify: bool = False,
    dtype: Literal["bf16", "fp32"] | None = None,
    step: int | None = None,
) -> Conversion:
    """Convert the newest checkpoint of a run, or that of `step`, and print what was made.

    Raises:
        UserError: bad input, a full disk, or a failed verification; `out` is then as it was.
    """
    from aixmeg.convert.to_hf import convert

    with _bar() as (advance, console):
        result = convert(run, out, step=step, verify=verify, dtype=dtype, progress=advance)
    _summary(console, result)
    return result


def from_hf(
    folder: Path,
    out: Path,
    *,
    verify: bool = False,
    dtype: Literal["bf16", "fp32"] | None = None,
    vocab_multiple_of: int = 1,
) -> Import:
    """Convert a Hugging Face folder, or aiXcoder's release, to a run directory and print how to train from it.

    Raises:
        UserError: not such a folder, a model of another kind, a full disk, or a failed verification.
    """
    from rich.table import Table

    from aixmeg.convert.from_hf import convert

    with _bar() as (advance, console):
        found = convert(
            folder, out, verify=verify, dtype=dtype, vocab_multiple_of=vocab_multiple_of, progress=advance
        )  # fmt: skip
    table = Table.grid(padding=(0, 2))
    table.add_row("run directory", str(found.out))
    table.add_row("parameters", f"{found.parameters:,}")
    table.add_row("weights", f"{found.size / 1e6:,.1f} MB of {found.dtype}")
    table.add_row("vocabulary", f"{found.vocab_size:,} rows")
    table.add_row("tokenizer", found.tokenizer or "fit for building training data")
    if found.verification is None:
        table.add_row("verified", "no (--verify compares logits with transformers')")
    else:
        table.add_row("verified", _verified(found.verification))
    console.print(table, markup=False)
    console.print(
        f"\ntrain from it:  aixmeg train --config {found.out / 'config.yaml'} --train.init_from {found.out} "
        "--paths.data DATA --paths.run NEW_RUN",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip
    return found


def to_gguf(run: Path, out: Path, *, dtype: Literal["bf16", "f16", "fp32"] = "bf16", step: int | None = None) -> Path:
    """Convert a checkpoint to one GGUF file and print its size.

    Raises:
        UserError: no such run, the package gguf missing, or a full disk.
    """
    from aixmeg.convert.gguf_file import convert

    file = convert(run, out, dtype=dtype, step=step)
    print(f"{file}  {file.stat().st_size / 1e6:,.1f} MB of {dtype}")
    return file


@contextmanager
def _bar() -> Iterator[tuple[Callable[[str, float], None], Console]]:
    """What to call with the work's name and the share that is done, and where to print afterwards."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    errors = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share), Console()


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
        table.add_row("verified", _verified(found))
    console.print(table)
    console.print(
        f"\nload it:  AutoModelForCausalLM.from_pretrained({str(result.out)!r})", highlight=False, markup=False
    )


def _verified(found: Verification) -> str:
    return f"largest logit difference {found.largest_difference:.1e} over {found.tokens} tokens ({found.text})"
