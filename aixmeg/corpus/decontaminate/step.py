"""The step: a file that holds a solution of an evaluation set is dropped."""

from __future__ import annotations

from aixmeg.config.corpus import DecontaminateConfig
from aixmeg.corpus.decontaminate.benchmarks import read_items
from aixmeg.corpus.decontaminate.index import Index
from aixmeg.corpus.document import Document, Step
from aixmeg.corpus.reasons import Dropped

_REPORTED = 5


def make_step(config: DecontaminateConfig) -> Step:
    """A step that drops as `contaminated` and names the items in the audit; without benchmarks it does nothing.

    Raises:
        UserError: a benchmark cannot be read.
    """
    if not config.enabled or not config.benchmarks:
        return lambda document: None
    index = Index((item for path in config.benchmarks for item in read_items(path, config)), config)

    def step(document: Document) -> None:
        matches = index.find(document.content, document.language)
        if not matches:
            return
        for match in matches[:_REPORTED]:
            document.audit.append(
                {
                    "step": "decontaminate",
                    "repository": document.repository,
                    "path": document.path,
                    "item": match.item,
                    "share": match.share,
                    "run_words": match.run_words,
                }
            )
        document.counts["decontaminate.items"] += len(matches)
        raise Dropped("contaminated")

    return step
