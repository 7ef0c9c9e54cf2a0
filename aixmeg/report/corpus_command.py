"""`aixmeg corpus build` with its page, and `aixmeg corpus report`, which writes the page again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from aixmeg.config import Config
from aixmeg.errors import UserError
from aixmeg.files import atomic_write, read_json, write_json
from aixmeg.report.load import Tree, items


def build(config: Config) -> dict[str, Any]:
    """Build the corpus, print its summary, write report.html beside report.json, and return the report.

    Raises:
        UserError: see `aixmeg.corpus.build.build_corpus`.
    """
    from aixmeg.corpus import command

    built = command.build(config)
    report(config)
    return built


def report(config: Config, *, out: Path | None = None) -> Path:
    """Write the corpus's page, print its path and return it.

    Args:
        config: only `paths` is read.
        out: page to write, with report.json's content beside it; None means report.html in the corpus folder, where
            report.json is.

    Raises:
        UserError: there is no finished corpus, `out` is no name for a page, or the disk refuses a write.
    """
    from aixmeg.corpus.reasons import REASONS
    from aixmeg.report.corpus_page import CONTENTS, corpus_sections
    from aixmeg.report.page import render_sections

    source = config.paths.at("corpus") / "report.json"
    tree = _read(source)
    target = out or source.with_suffix(".html")
    if target.suffix == ".json":
        raise UserError(f"--out {target} is where the JSON beside the page would be; give it a name that ends in .html")
    sections = corpus_sections(tree, reasons=REASONS, rules=_rules(tree))
    page = render_sections(
        f"{_name(source.parent)}: aixmeg corpus", sections, written=datetime.now().astimezone(), contents=CONTENTS
    )
    with atomic_write(target) as file:
        file.write(page)
    beside = target.with_suffix(".json")
    if beside.resolve() != source.resolve():
        write_json(beside, tree)
    print(f"page: {target}")
    return target


def _read(source: Path) -> dict[str, Any]:
    if not source.exists():
        raise UserError(f"there is no {source}; `aixmeg corpus build` writes it, with the page")
    tree = read_json(source)
    if not isinstance(tree, dict):
        raise UserError(f"{source} holds {type(tree).__name__} where a JSON object belongs; build the corpus again")
    return tree


def _name(folder: Path) -> str:
    """The folder's name; where that is the default `corpus`, the folder around it says more."""
    whole = folder.resolve()
    return whole.parent.name if whole.name == "corpus" and whole.parent.name else whole.name


def _rules(tree: Tree) -> dict[str, tuple[str, str]]:
    """Defect rule → bug or vulnerability, and what it finds."""
    from aixmeg.corpus.defects import RULES
    from aixmeg.corpus.defects.ruff import is_bug

    hit = [name.removeprefix("defects.") for name, _ in items(tree, "counts") if name.startswith("defects.")]
    ruffs = {name: ("bug" if is_bug(name) else "vulnerability", "a rule of ruff") for name in hit if name[:1].isupper()}
    return ruffs | {rule.id: (rule.kind, rule.says) for rule in RULES}
