"""Structured fill-in-the-middle: strategies and sizes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

STRATEGIES: Final = (
    "whole_node", "siblings", "block_body", "header", "node_tail", "line",
    "method_signature", "method_body", "single_line", "method_with_comment", "empty",
    "method_body_top", "method_body_middle", "method_body_bottom",
    "if_statement", "for_statement", "while_statement", "try_statement", "switch_statement",
)  # fmt: skip
"""Ways to choose a middle; from `method_signature` on, the thirteen shapes of FIM-Eval (arXiv 2410.13187)."""
_MAIN: Final = {
    "whole_node": 0.4, "siblings": 0.12, "block_body": 0.08, "header": 0.06, "node_tail": 0.12, "line": 0.09,
}  # fmt: skip


def default_strategies() -> dict[str, float]:
    """0.87 for the six general ways, 0.01 for each of FIM-Eval's shapes."""
    return {name: _MAIN.get(name, 0.01) for name in STRATEGIES}


@dataclass(frozen=True, kw_only=True)
class SfimConfig:
    """Structured fill-in-the-middle: strategies and sizes."""

    strategies: dict[str, float] = field(default_factory=default_strategies)
    """Weight of each way to choose a middle; one that a file has no place for hands its turn on; 0 disables it."""
    min_middle_tokens: int = 2
    """Fewest tokens of a structured middle; 1 allows single names. The strategy `empty` has none whatever this says."""
    max_middle_tokens: int = 1024
    """Most tokens of a structured middle, beside data.max_middle_bytes."""
    without_tree: Literal["line", "random", "ntp"] = "line"
    """What becomes of a file drawn for structured FIM that has no grammar or no fitting place: FIM of whole lines, FIM
    of a random span, or next-token prediction."""
    context_share: float = 0.0
    """Share of repositories whose files are laid out together: plain files first, then one infilled; 0 disables it."""
    context_tokens: int = 8192
    """Most tokens of such an example; a file that alone is longer stands alone."""
    context_files: float = 4.0
    """Mean number of files in such an example, where the budget allows it; 1 makes each file an example."""

    def problems(self, where: str) -> Iterator[str]:
        """Sentences on broken rules."""
        unknown = sorted(set(self.strategies) - set(STRATEGIES))
        if unknown:
            yield f"{where}.strategies has unknown names {', '.join(unknown)}; choose among {', '.join(STRATEGIES)}"
        for name, weight in self.strategies.items():
            if not 0 <= weight < float("inf"):
                yield f"{where}.strategies.{name}={weight} must be zero or a positive number"
        if not unknown and not any(self.strategies.values()):
            yield f"{where}.strategies has no positive weight; give one to whole_node, or set data.ntp_share to 1"
        if not 1 <= self.min_middle_tokens <= self.max_middle_tokens:
            yield (
                f"{where}.min_middle_tokens={self.min_middle_tokens} must be at least 1 and at most "
                f"max_middle_tokens={self.max_middle_tokens}"
            )
        if not 0.0 <= self.context_share <= 1.0:
            yield f"{where}.context_share={self.context_share} must be between 0 and 1"
        if self.context_tokens < 1:
            yield f"{where}.context_tokens={self.context_tokens} must be positive"
        if not 1.0 <= self.context_files < float("inf"):
            yield f"{where}.context_files={self.context_files} must be 1 or more"
