"""Commented-out code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CommentedConfig:
    """Commented-out code."""

    enabled: bool = True
    """Whether the step runs."""
    probability: float = 0.8
    """Share of the blocks that are removed, drawn block by block; 0 only counts them."""
    min_lines: int = 3
    """Lines of the shortest block that is looked at."""
    max_error_share: float = 0.05
    """Share of a block's bytes that may not parse as code, 0 to 1."""
    min_code_share: float = 0.7
    """Share of a block's lines that must look like code, 0 to 1; above 0 as prose parses in some grammars."""
    seed: int = 0
    """Seed of the draws."""

    def problems(self, where: str) -> Iterator[str]:
        """What is wrong with the values."""
        for name in ("probability", "max_error_share", "min_code_share"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                yield f"{where}.{name}={value} is not between 0 and 1"
        if self.min_lines < 1:
            yield f"{where}.min_lines={self.min_lines} is below 1; set {where}.enabled=false to leave all blocks alone"
