"""Overlap with evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class DecontaminateConfig:
    """Overlap with evaluation sets."""

    enabled: bool = True
    """Whether the step runs; without benchmarks it does not."""
    benchmarks: tuple[Path, ...] = ()
    """JSON-lines files (.jsonl, .jsonl.gz) of evaluation sets; empty turns the step off."""
    solution_fields: tuple[str, ...] = (
        "canonical_solution", "solution", "solutions", "groundtruth", "code", "answer", "middle",
    )  # fmt: skip
    """Fields of a record that hold the solution, a string or a list of them; all that are there count."""
    before_fields: tuple[str, ...] = ("pre_mask_code", "prompt", "prefix", "left_context")
    """Fields with the code before the solution; the first that is there counts."""
    after_fields: tuple[str, ...] = ("post_mask_code", "suffix", "right_context")
    """Fields with the code behind the solution; the first that is there counts."""
    gram_words: int = 10
    """Words of an n-gram. Comments, blanks and punctuation do not count."""
    min_grams: int = 5
    """Solutions and programs with fewer different n-grams are not looked for: `return x + y` is in many files."""
    share: float = 0.5
    """Share of a solution's, or of the whole program's, n-grams that a file must hold to be dropped as
    `contaminated`."""
    run_words: int = 100
    """A file with so many consecutive words of one solution or program is dropped whatever their share; 0 disables
    it."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        for name in ("gram_words", "min_grams"):
            if getattr(self, name) < 1:
                yield f"{where}.{name}={getattr(self, name)} must be positive; 10 is usual"
        if self.gram_words > 255:
            yield f"{where}.gram_words={self.gram_words} must be at most 255; 10 is usual"
        if not 0.0 < self.share <= 1.0:
            yield f"{where}.share={self.share} must be above 0 and at most 1; 0.5 is usual"
        if self.run_words and self.run_words < self.gram_words:
            yield (
                f"{where}.run_words={self.run_words} is shorter than one n-gram of {where}.gram_words={self.gram_words}"
                " words; raise it, or set it to 0 to disable the rule"
            )
        if self.enabled and self.benchmarks and not self.solution_fields:
            yield f"{where}.solution_fields is empty; name the records' fields, such as canonical_solution"
