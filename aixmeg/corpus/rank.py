"""Repository ranking: stars, commits and test files → a score, and the lowest share dropped.

The score is the mean of the percentile ranks of a repository's signals. Ranks, since stars and commits have heavy tails
and no common unit; the mean, since the paper (arXiv 2410.13187, 2.1) names the signals and no weights.

Missing signals: a signal that no repository has is left out for all. A repository that lacks some is scored by those it
has, and one that has none is given 0.5, the middle: what is not known neither helps nor harms. The report says how many
lack what, and `Ranking.missing` says it per repository.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from aixmeg.config.corpus import RankConfig
from aixmeg.corpus.sources.raw import RawDocument

UNKNOWN: Final = 0.5
"""Score of a repository without any signal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranking:
    """Columns by repository, in the order in which they were given; m repositories."""

    score: np.ndarray
    """0 to 1, higher is better: float64 [m]."""
    worse: np.ndarray
    """Number of repositories ranked before it: uint32 [m]."""
    dropped: np.ndarray
    """Whether it is `low_rank`: bool [m]."""
    missing: np.ndarray
    """Bit b: it lacks the signal b of `signals`: uint64 [m]."""
    signals: tuple[str, ...]
    """The signals that at least one repository has."""
    report: dict[str, Any]
    """For the corpus report: what was used, what was missing, what was dropped, and why nothing was."""


def rank(names: Sequence[str], signals: Mapping[str, np.ndarray], config: RankConfig) -> Ranking:
    """Rank repositories. Depends on the set of repositories alone, not on their order.

    Args:
        names: unique names of m repositories; of equal scores the name that sorts first is ranked first.
        signals: by name, float64 [m], NaN where a repository lacks it.
        config: which signals count, and what is dropped.
    """
    count = len(names)
    used = {name: signals[name] for name in config.signals if name in signals and not np.isnan(signals[name]).all()}
    total, number = np.zeros(count), np.zeros(count)
    missing = np.zeros(count, np.uint64)
    for bit, values in enumerate(used.values()):
        there = ~np.isnan(values)
        total[there] += percentiles(values[there])
        number += there
        missing |= np.where(there, 0, 1 << bit).astype(np.uint64)
    score = np.where(number > 0, total / np.maximum(number, 1), UNKNOWN)
    by_name = np.argsort(np.array(names, dtype=object), kind="stable") if count else np.zeros(0, np.int64)
    order = by_name[np.argsort(-score[by_name], kind="stable")]
    worse = np.empty(count, np.uint32)
    worse[order] = np.arange(count, dtype=np.uint32)
    dropped, note = np.zeros(count, bool), None
    if not config.enabled or not config.drop_share:
        note = "disabled: no repository is dropped"
    elif count < config.min_repositories:
        note = (
            f"{count} repositories are fewer than corpus.rank.min_repositories={config.min_repositories}: none dropped"
        )
    elif not used:
        note = "no repository has any of the signals: none is dropped"
    else:
        # The epsilon: 0.1 * 30 is a little more than 3 in binary, 0.1 * 70 a little more than 7.
        dropped[order[count - int(config.drop_share * count + 1e-9) :]] = True
    report = {
        "repositories": count, "dropped": int(dropped.sum()), "signals": list(used),
        "left_out": [name for name in config.signals if name not in used],
        "without": {name: int(np.isnan(values).sum()) for name, values in used.items()},
        "without_any": int((number == 0).sum()),
        "lowest_kept": float(score[~dropped].min()) if count else None, "note": note,
    }  # fmt: skip
    return Ranking(score=score, worse=worse, dropped=dropped, missing=missing, signals=tuple(used), report=report)


def percentiles(values: np.ndarray) -> np.ndarray:
    """Share of the values below each, ties counted half: float64 [n] in (0, 1), mean 0.5."""
    unique, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    del unique
    below = np.cumsum(counts) - counts
    return ((below + counts / 2) / max(len(values), 1))[inverse]


def add_file(signals: dict[str, float], raw: RawDocument) -> None:
    """Add what one file tells about its repository: whether it is a test, and the stars that its row names."""
    signals["test_files"] = signals.get("test_files", 0.0) + is_test_file(raw.path)
    if "stars" in raw.extra:
        signals["stars"] = max(float(raw.extra["stars"]), signals.get("stars", 0.0))


def merge(signals: dict[str, float], other: Mapping[str, float]) -> None:
    """Add what another range knows of the same repository: test files add up, of the rest the largest counts."""
    for name, value in other.items():
        if name == "test_files":
            signals[name] = signals.get(name, 0.0) + value
        else:
            signals[name] = max(value, signals.get(name, value))


_FOLDERS: Final = frozenset({"test", "tests", "__tests__", "spec", "specs", "unittest", "unittests", "e2e", "t"})
_CODE_ONLY: Final = frozenset(
    [
        "py",
        "pyi",
        "js",
        "jsx",
        "mjs",
        "cjs",
        "ts",
        "tsx",
        "mts",
        "cts",
        "java",
        "kt",
        "kts",
        "scala",
        "groovy",
        "go",
        "rs",
        "c",
        "cc",
        "cpp",
        "cxx",
        "h",
        "hpp",
        "hh",
        "m",
        "mm",
        "cs",
        "fs",
        "vb",
        "rb",
        "php",
        "swift",
        "dart",
        "ex",
        "exs",
        "erl",
        "hs",
        "ml",
        "lua",
        "pl",
        "t",
        "r",
        "jl",
        "sh",
        "bats",
        "zig",
        "nim",
        "clj",
        "cljs",
        "el",
        "d",
        "sol",
        "f90",
        "v",
        "sv",
        "vhd",
        "ps1",
    ]
)
"""Endings of files that can be tests; a folder of tests also holds data."""
_NAMES: Final = re.compile(
    r"""(?x)
    ^test_\w.*\.(?:py|c|cc|cpp|cxx|rb|lua|jl|r|R|sh|el|ml|nim|f90|v|sv)$       # test_x.py
    | [_-](?:test|tests|unittest|unittests|spec)\.(?:py|go|c|cc|cpp|cxx|rs|rb|lua|dart|exs?|jl|sh|zig|ml|clj|cljs|el)$
    | \.(?:test|tests|spec|e2e-spec|cy)\.[cm]?[jt]sx?$                         # x.test.ts
    | (?:Test|Tests|TestCase|IT|Spec|Specs)\.(?:java|kt|scala|groovy|cs|fs|vb|php|swift|m|mm|hs|cpp|cc|dart)$
    | ^Test[A-Z]\w*\.(?:java|kt|scala|groovy|cs|cpp|cc|php|swift)$             # TestX.java
    | ^tests?\.(?:py|rs|c|cpp|cc)$
    | _SUITE\.erl$ | \.bats$ | \.Tests\.ps1$ | \.t$
    """
)


def is_test_file(path: str) -> bool:
    """Whether a file is a test by its name or a folder that it lies in, as its language has it (`x_test.go`)."""
    *folders, name = path.split("/")
    if _NAMES.search(name):
        return True
    return name.rpartition(".")[2].lower() in _CODE_ONLY and any(one.lower() in _FOLDERS for one in folders)
