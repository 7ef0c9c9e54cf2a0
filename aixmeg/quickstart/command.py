"""`aixmeg quickstart`: run every step, fill a few holes in held-out files, write the page, say what was built."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aixmeg.config import Config, apply_overrides, check_tree, dump_config, read_yaml
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, read_jsonl

if TYPE_CHECKING:
    from rich.console import Console

    from aixmeg.quickstart.infills import Hole

HOLES = 6
CONFIG_FILE = "config.yaml"
RECIPE = Path(__file__).with_name("recipe.yaml")


def quickstart(*, work: Path, corpus: Path | None, fresh: bool, overrides: Mapping[str, str]) -> None:
    """From source code to a completion, in `work`.

    A second call goes on where the first one stopped: finished stages are recognised or built again to the same bytes.

    Args:
        work: folder for everything.
        corpus: folder of repositories; None takes this machine's own source code.
        fresh: empty `work` first.
        overrides: `section.field` → YAML value.

    Raises:
        UserError: bad options, or a step failed.
    """
    from rich.console import Console

    from aixmeg.quickstart.infills import choose_holes, fill
    from aixmeg.quickstart.steps import Step, steps
    from aixmeg.report.command import report

    console = Console(highlight=False)
    start = time.monotonic()
    config, file = prepare(work, corpus=corpus, fresh=fresh, overrides=overrides)
    run, hf = config.paths.at("run"), work / "hf"
    for step in steps(file, run, hf):
        _announce(console, step.title, step.shown)
        seconds = step.run()
        console.print(f"[dim]{seconds:.0f} s[/]")

    holes = choose_holes(config, HOLES)
    found = fill(holes, run=run, hf=hf)
    hole = place_hole(holes[0], work)
    words = ("complete", "--model", str(hf), "--file", str(hole), "--cursor", holes[0].cursor, "--max-new-tokens", "32")
    completion = Step(title="Completion at a cursor", words=words)
    _announce(console, completion.title, completion.shown)
    completion.run()
    page = report(config, completion=found[0])
    _summary(console, config, file=file, hf=hf, page=page, completion=completion.shown, filled=len(found))
    console.print(f"[dim]{time.monotonic() - start:.0f} s in all[/]")


def prepare(work: Path, *, corpus: Path | None, fresh: bool, overrides: Mapping[str, str]) -> tuple[Config, Path]:
    """Resolve the recipe for `work` and write it there, so that every later command takes that one file.

    Raises:
        UserError: bad options, or a `work` that is not the quickstart's to use.
    """
    if corpus is not None and not corpus.is_dir():
        raise UserError(f"--corpus {corpus} is not a folder; give one whose sub-folders are repositories")
    tree = read_yaml(RECIPE)
    tree["paths"]["root"] = str(work)
    if corpus is not None:
        tree["corpus"]["sources"] = [str(corpus)]
    apply_overrides(tree, overrides)
    config = check_tree(tree, source="the quickstart's recipe and the command line")

    file = work / CONFIG_FILE
    if work.exists() and any(work.iterdir()) and not file.exists():
        raise UserError(f"{work} holds other files and no {CONFIG_FILE} of a quickstart; choose another --work")
    text = dump_config(config)
    if fresh and work.exists():
        shutil.rmtree(work)
    elif file.exists() and file.read_text("utf-8") != text:
        raise UserError(f"{file} differs from this call's configuration; add --fresh, or choose another --work")
    with atomic_write(file) as out:
        out.write(text)
    return config, file


def place_hole(hole: Hole, work: Path) -> Path:
    """Write the held-out file without its middle, for `aixmeg complete` and for the user's own trials."""
    file = work / "cursor" / Path(hole.path).name
    with atomic_write(file, "wb") as out:
        out.write((hole.prefix + hole.suffix).encode())
    return file


def losses(run: Path) -> dict[str, Any]:
    """The last held-out losses and the unigram model's, in nats per token."""
    valid = [line for line in read_jsonl(run / "metrics.jsonl") if line["kind"] == "valid"]
    return {"model": valid[-1], "unigram": read_json(run / "run.json")["unigram"]}


def _announce(console: Console, title: str, shown: str) -> None:
    console.rule(f"[bold]{title}[/]", align="left")
    console.print(f"[cyan]$ {shown}[/]", soft_wrap=True)


def _summary(
    console: Console, config: Config, *, file: Path, hf: Path, page: Path, completion: str, filled: int
) -> None:
    from rich.table import Table

    report = read_json(config.paths.at("corpus") / "report.json")
    data = read_json(config.paths.at("data") / "data.json")
    found = losses(config.paths.at("run"))
    console.rule("[bold]Built[/]", align="left")
    built = Table.grid(padding=(0, 2))
    kept = report["kept"]
    built.add_row("corpus", str(config.paths.at("corpus")), f"{kept['files']:,} files, {kept['bytes'] / 1e6:.1f} MB")
    built.add_row("tokenizer", str(config.paths.at("tokenizer")), f"{config.tokenizer.vocab_size:,} pieces")
    built.add_row("dataset", str(config.paths.at("data")), _tokens(data))
    built.add_row("run", str(config.paths.at("run")), f"{found['model']['step']:,} steps")
    built.add_row("Hugging Face", str(hf), f"greedy tokens equal the checkpoint's on {filled} held-out files")
    built.add_row("page", str(page), "open it in a browser")
    console.print(built)

    table = Table("held-out loss (nats per token)", "unigram", "this model", box=None, pad_edge=False)
    for name, label in (("ntp", "next token"), ("middle", "middle of an infill")):
        unigram, model = found["unigram"][name], found["model"][f"{name}_loss"]
        table.add_row(label, _nats(unigram), _nats(model))
    console.print()
    console.print(table)
    console.print("\nNext:")
    for command in (
        completion,
        f"aixmeg data show --config {file}",
        f"torchrun --nproc-per-node 2 -m aixmeg train --config {file} --resume --train.steps {2 * config.train.steps}",
        "aixmeg quickstart --work mine --corpus FOLDER_OF_REPOSITORIES",
    ):
        console.print(f"  {command}", soft_wrap=True)


def _tokens(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {data[name]['tokens']:,} tokens" for name in ("train", "valid"))


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
