"""Natural-language documents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ProseConfig:
    """Natural-language documents: Markdown, reStructuredText, plain text, questions and answers."""

    enabled: bool = True
    """Whether the step runs; without it such documents are treated as code of their language."""
    weight: float = 1.0
    """Share of the prose documents that is kept, drawn for each by (seed, repository, path); 0 keeps none."""
    seed: int = 0
    """Seed of that draw."""
    boilerplate: bool = True
    """Whether licences, change logs, lists of authors and the like are dropped as `prose_boilerplate`."""
    clean: bool = True
    """Whether badges, HTML comments, tables of contents and lines of nothing but links are removed."""
    min_words: int = 50
    """Words, those of code blocks too, below which a document is `prose_too_short`; 0 disables the test."""
    min_alphabetic_share: float = 0.7
    """Share of words with at least one letter below which a document is `prose_not_words`; 0 lets all pass that have
    any word outside code blocks."""
    max_bullet_share: float = 0.9
    """Share of lines that begin with a bullet above which a document is `prose_list`; 1.0 disables the test."""
    min_stop_words_share: float = 0.12
    """Share of English function words below which a document is `prose_not_english`; 0 disables the test."""
    repetition: float = 2.0
    """Factor on Gopher's limits of repeated lines and n-grams, beyond which it is `prose_repetitive`; 1.0 is Gopher's
    own, made for the web (references of programming interfaces repeat more); 0 disables it."""
    min_score: int = 1
    """Score of a question's answer below which the answer is left out; without an answer it is `prose_no_answer`."""
    max_answers: int = 3
    """Answers kept of a question, those of the highest score."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        for name in ("weight", "min_alphabetic_share", "max_bullet_share", "min_stop_words_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                yield f"{where}.{name}={getattr(self, name)} must be between 0 and 1"
        for name in ("repetition", "min_words"):
            if getattr(self, name) < 0:
                yield f"{where}.{name}={getattr(self, name)} must be zero or more"
        if self.max_answers < 1:
            yield f"{where}.max_answers={self.max_answers} must be positive"
