"""Which licences are kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

LicenceClass = Literal["public_domain", "permissive", "weak_copyleft", "copyleft", "non_free"]


@dataclass(frozen=True, kw_only=True)
class LicenceConfig:
    """Which licences are kept."""

    enabled: bool = True
    """Whether the step runs."""
    keep: tuple[LicenceClass, ...] = ("public_domain", "permissive")
    """Classes of licences (aixmeg/corpus/licence/licences.json) that are kept."""
    unknown: Literal["drop", "keep"] = "drop"
    """What becomes of files without any known licence."""
    also_keep: tuple[str, ...] = ()
    """SPDX ids that are kept although their class is not."""
    never_keep: tuple[str, ...] = ()
    """SPDX ids that are dropped although their class is kept."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        if both := sorted(set(self.also_keep) & set(self.never_keep)):
            yield f"{where}.also_keep and {where}.never_keep both hold {', '.join(both)}; remove it from one"
        if self.enabled and not self.keep and not self.also_keep and self.unknown == "drop":
            yield f"{where}.keep is empty, so that nothing would be kept; name classes, or disable the step"
