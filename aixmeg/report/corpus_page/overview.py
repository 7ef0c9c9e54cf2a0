"""The headline numbers."""

from __future__ import annotations

from collections.abc import Callable

from aixmeg.report import numbers
from aixmeg.report.blocks import section, tile, tiles
from aixmeg.report.load import Tree, figure, items
from aixmeg.report.markup import Html


def overview(tree: Tree) -> Html:
    """The section, without a visible heading."""
    files, size = figure(tree, "kept", "files"), figure(tree, "kept", "bytes")
    languages = numbers.plural(len(items(tree, "by_language")), "language")
    copies = _dropped(tree, "exact_duplicate", "near_duplicate", "repository_duplicate")
    flawed = _dropped(tree, "defect_bug", "defect_vulnerability")
    scrubbed = sum(figure({"n": value}, "n") or 0.0 for name, value in items(tree, "counts")
                   if name.startswith("scrub."))  # fmt: skip
    speed, cpu = figure(tree, "timing", "mb_per_cpu_second"), figure(tree, "timing", "cpu_seconds")
    pace = f"{numbers.decimal(speed, 1)} MB per CPU second, {numbers.duration(cpu)} of CPU" if speed else ""
    found = [
        tile("Files kept", numbers.count(files), _of(files, figure(tree, "found", "files"), numbers.count)),
        tile("Source kept", numbers.size(size), _of(size, figure(tree, "found", "bytes"), numbers.size)),
        tile("Repositories", numbers.count(figure(tree, "repositories")), f"in {languages}"),
        tile("Duplicates dropped", numbers.count(copies), "files, exact and near"),
        tile("Dropped for defects", numbers.count(flawed), "files, by static analysis"),
        tile("Secrets and personal data", numbers.count(scrubbed), "places replaced"),
        tile("Commented-out code", numbers.count(figure(tree, "counts", "commented.removed") or 0.0), "blocks removed"),
        tile("Time", numbers.duration(figure(tree, "seconds")), pace),
    ]
    return section("summary", "Overview", tiles(found))


def _dropped(tree: Tree, *reasons: str) -> float:
    return sum(figure(tree, "dropped", reason, "files") or 0.0 for reason in reasons)


def _of(part: float | None, whole: float | None, written: Callable[[float], str]) -> str:
    return f"of {written(whole)} found ({numbers.share(part, whole)})" if whole else ""
