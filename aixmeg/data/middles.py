"""Held-out middles that a model is asked to complete, always the same ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aixmeg.data.labels import KIND_MIDDLE
from aixmeg.data.stream import ValidDataset


@dataclass(frozen=True, kw_only=True)
class Middle:
    """An infilling example: what stands before the middle, and the middle."""

    prompt: tuple[int, ...]
    """From the example's `<s>` to the last token before the middle."""
    tokens: tuple[int, ...]
    """The middle, at least one token."""
    end: int
    """What closes it, `</s>`."""
    language: str
    """Empty where no file tells it."""


def choose_middles(dataset: ValidDataset, *, wanted: int, seed: int, longest: int, room: int) -> list[Middle]:
    """Up to `wanted` middles, of every language as many as of the others, as far as it has them.

    Args:
        dataset: the held-out split.
        wanted: number of middles.
        seed: decides which ones.
        longest: of a middle, in tokens, with the one that closes it.
        room: prompt and `longest` together, in tokens.

    Raises:
        UserError: a middle holds ids that the vocabulary lacks.
    """
    if wanted == 0:
        return []
    rows, labels = _fitting(dataset, longest=longest, room=room), dataset.labels
    languages = dataset.row_languages[rows]
    turns: list[tuple[int, int, int]] = []
    for number in np.unique(languages).tolist():
        of_language = np.random.default_rng([seed, number]).permutation(rows[languages == number])[:wanted]
        turns += [(turn, number, row) for turn, row in enumerate(of_language.tolist())]
    chosen = []
    for _, number, row in sorted(turns)[:wanted]:
        first, end, _ = (int(values[0]) for values in labels.spans(slice(row, row + 1)))
        tokens = dataset.read(_start(dataset, row - int(labels.rows[row]["place"])), end).tolist()
        before = len(tokens) - (end - first)
        chosen.append(
            Middle(
                prompt=tuple(tokens[:before]),
                tokens=tuple(tokens[before:-1]),
                end=tokens[-1],
                language=dataset.languages[number - 1] if number else "",
            )
        )
    return chosen


def _fitting(dataset: ValidDataset, *, longest: int, room: int) -> np.ndarray:
    """Rows of the sidecar, ascending, int64, whose middle is short enough and whose prompt has room."""
    first, end, kinds = dataset.labels.spans()
    length = end - first
    rows = np.flatnonzero((kinds == KIND_MIDDLE) & (length > 1) & (length <= longest))
    heads = rows - dataset.labels.rows["place"][rows]  # where files stand together, the prompt begins with the first
    prompts = first[rows] - (dataset.stream.starts[dataset.labels.rows["document"][heads]]
                             + dataset.labels.rows["offset"][heads])  # fmt: skip
    return rows[prompts + longest <= room]


def _start(dataset: ValidDataset, row: int) -> int:
    """Stream position of a row's first token."""
    found = dataset.labels.rows[row]
    return int(dataset.stream.starts[found["document"]]) + int(found["offset"])
