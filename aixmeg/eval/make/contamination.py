"""Which gaps a training corpus gives away: by word n-grams, with the rules and thresholds of `corpus.decontaminate`.

Three texts of a candidate are looked for in every training file: the held-out file, so that a copy or a fork of it
counts; the gap; and the gap with some code around it, because most gaps are too short to be told from chance. A file of
too few words is known by its bytes alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.config.corpus import DecontaminateConfig
from aixmeg.corpus import read_corpus
from aixmeg.corpus.decontaminate import Index, Item
from aixmeg.corpus.decontaminate.comments import strip_comments
from aixmeg.corpus.decontaminate.index import ngrams
from aixmeg.corpus.document import Document
from aixmeg.eval.make.candidates import Candidate

_AROUND: Final = 600
"""Bytes before and behind the gap that are looked for with it."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What of a candidate is in the training corpus."""

    what: str
    """`file` or `gap`."""
    where: str
    """The training file that holds most of it."""
    share: float
    """Of its n-grams; 1 where the files are equal byte by byte."""
    run_words: int
    """Longest run of its words; 0 where the files are equal byte by byte."""


def find_contaminated(
    candidates: Sequence[Candidate], corpora: Iterable[Path], config: DecontaminateConfig
) -> tuple[dict[str, Found], dict[str, int]]:
    """Candidates by name that the corpora give away, and files read of each corpus.

    Raises:
        UserError: a corpus is not there, or damaged.
    """
    wanted: dict[str, list[tuple[str, str]]] = {}  # key of a text → (candidate, what it is of it)
    items: list[Item] = []

    def look_for(key: str, text: bytes, language: str, candidate: str, what: str) -> None:
        if key not in wanted:
            items.append(Item(name=key, language=language, texts=(text.decode("utf-8", "replace"),)))
        wanted.setdefault(key, []).append((candidate, what))

    keys: dict[int, str] = {}
    copies: dict[str, list[str]] = {}  # digest of a file → its candidates
    for one in candidates:
        document = one.document
        key = keys.get(id(document))
        if key is None:
            key = keys[id(document)] = _key(document.content, document.language, config)
        look_for(key, document.content, document.language, one.name, "file")
        copies.setdefault(hashlib.sha256(document.content).hexdigest(), []).append(one.name)
        for text in (one.middle, _surroundings(document, one.start, one.end)):
            look_for(_key(text, document.language, config), text, document.language, one.name, "gap")
    return _search(Index(items, config), wanted, copies, corpora)


def _search(
    index: Index, wanted: dict[str, list[tuple[str, str]]], copies: dict[str, list[str]], corpora: Iterable[Path]
) -> tuple[dict[str, Found], dict[str, int]]:
    found: dict[str, Found] = {}
    read: dict[str, int] = {}
    for corpus in corpora:
        read[str(corpus)] = 0
        for file in read_corpus(corpus):
            read[str(corpus)] += 1
            where = f"{file.repository}/{file.path}"
            for name in copies.get(file.sha256, ()):
                found[name] = Found(what="file", where=where, share=1.0, run_words=0)
            for match in index.find(file.text.encode(), file.language):
                for name, what in wanted[match.item]:
                    new = Found(what=what, where=where, share=match.share, run_words=match.run_words)
                    found[name] = max(found.get(name, new), new, key=_weight)
    return found, read


def _weight(found: Found) -> tuple[bool, float]:
    """A copied file is the better reason than a copied gap in it."""
    return found.what == "file", found.share


def _key(text: bytes, language: str, config: DecontaminateConfig) -> str:
    """The same for texts that the index cannot tell apart: it would know them by the first one's name alone."""
    grams = np.unique(ngrams(strip_comments(text, language), config.gram_words))
    return hashlib.sha256(grams.tobytes()).hexdigest()


def _surroundings(document: Document, start: int, end: int) -> bytes:
    """The gap and the lines around it."""
    text = document.content
    first = text.rfind(b"\n", 0, max(0, start - _AROUND)) + 1
    last = text.find(b"\n", min(len(text), end + _AROUND))
    return text[first : last if last >= 0 else len(text)]
