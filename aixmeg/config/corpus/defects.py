"""Bugs and vulnerabilities found by static analysis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DefectsConfig:
    """Bugs and vulnerabilities found by static analysis; docs/defect_rules.md lists the rules."""

    enabled: bool = True
    """Whether the step runs."""
    bugs: Literal["drop", "tag"] = "drop"
    """What happens to a file with a bug of high confidence: dropped, or kept with the rules named in its record."""
    vulnerabilities: Literal["drop", "tag"] = "tag"
    """The same for vulnerabilities: calls that are dangerous in one program are right in another."""
    max_per_kilobyte: float = 0.0
    """Hits per 1,000 bytes that a file may have before `drop` applies; 0 drops at the first."""
    without: tuple[str, ...] = ()
    """Rules that are not used, by id."""
    ruff: bool = True
    """Whether Python is also checked by ruff's bug and security rules."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, one sentence each."""
        if self.max_per_kilobyte < 0:
            yield f"{where}.max_per_kilobyte={self.max_per_kilobyte} must be zero or more"
