"""Order of the files in a repository."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

KINDS = ("random", "content", "path", "dependency")


def _probabilities() -> dict[str, float]:
    return {"random": 0.1, "content": 0.2, "path": 0.2, "dependency": 0.5}


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """Order of the files in a repository, drawn per repository (arXiv 2410.13187, section on inter-file data)."""

    enabled: bool = True
    """Whether the order is drawn; if not, files stand in path order."""
    probabilities: dict[str, float] = field(default_factory=_probabilities)
    """Weight of each kind of order: random, content (TF-IDF and k-means), path, dependency (imported files first)."""
    cluster_files: int = 16
    """Mean number of files in a cluster of the content order."""
    max_content_bytes: int = 268_435_456
    """A repository above this size is ordered by path where content was drawn, to bound time and memory."""
    seed: int = 1234
    """With the repository's name it decides the kind of order, and every tie."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, one sentence each."""
        if unknown := sorted(set(self.probabilities) - set(KINDS)):
            yield f"{where}.probabilities names {', '.join(unknown)}; choose among {', '.join(KINDS)}"
        if any(weight < 0 for weight in self.probabilities.values()) or not sum(self.probabilities.values()) > 0:
            yield f"{where}.probabilities={self.probabilities} must be weights of zero or more, one of them positive"
        if self.cluster_files < 2:
            yield f"{where}.cluster_files={self.cluster_files} must be 2 or more"
        if self.max_content_bytes < 0:
            yield f"{where}.max_content_bytes={self.max_content_bytes} must be zero or more"
