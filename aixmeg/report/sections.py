"""Sections that pages of their own share with the run's page."""

from __future__ import annotations

from aixmeg.report.dataset import dataset
from aixmeg.report.load import Part, Run, Tree
from aixmeg.report.markup import Html


def data_sections(tree: Tree) -> list[Html]:
    """What is known of built data, from its data.json."""
    nothing = Part(missing="not part of this page")
    run = Run(name="", metrics=nothing, corpus=nothing, tokenizer=nothing, data=Part(content=dict(tree)), facts=nothing,
              infills=nothing, config_text="")  # fmt: skip
    return [dataset(run)]
