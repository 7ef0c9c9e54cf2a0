"""Where documents come from: folders, git repositories, archives, JSON lines, Parquet.

rules = Rules.of(config.corpus, output)
for source in open_inputs(config.corpus, output):
    for document in source.documents(rules): …
"""

from aixmeg.corpus.sources.folders import GENERATED, MACHINE_LANGUAGES, Repository, repositories
from aixmeg.corpus.sources.inputs import Input, iter_inputs, open_inputs
from aixmeg.corpus.sources.raw import RawDocument
from aixmeg.corpus.sources.rules import Rules

__all__ = ["GENERATED", "MACHINE_LANGUAGES", "Input", "RawDocument", "Repository", "Rules", "iter_inputs",
           "open_inputs", "repositories"]  # fmt: skip
