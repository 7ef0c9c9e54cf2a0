"""Decontamination: files that hold solutions of evaluation sets are dropped, and reported with what they hold."""

from aixmeg.corpus.decontaminate.benchmarks import Item, read_items
from aixmeg.corpus.decontaminate.index import Index, Match
from aixmeg.corpus.decontaminate.step import make_step

__all__ = ["Index", "Item", "Match", "make_step", "read_items"]
