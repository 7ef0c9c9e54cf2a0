"""report.json with every part that a build can write, small enough to check by hand."""

from __future__ import annotations

from typing import Any


def _count(files: int, size: int) -> dict[str, int]:
    return {"files": files, "bytes": size}


def corpus_report() -> dict[str, Any]:
    """1,000 files of 10 MB are found and 600 of 5 MB kept."""
    funnel = [
        {"step": "sources", "dropped": {"too_small": _count(90, 5_000), "too_large": _count(10, 1_995_000)},
         "left": _count(900, 8_000_000)},
        {"step": "licence", "dropped": {"licence_copyleft": _count(100, 1_000_000)}, "left": _count(800, 7_000_000)},
        {"step": "near", "dropped": {"near_duplicate": _count(40, 400_000),
                                     "repository_duplicate": _count(60, 600_000)}, "left": _count(700, 6_000_000)},
        {"step": "defects", "dropped": {"defect_bug": _count(70, 700_000)}, "left": _count(630, 5_300_000)},
        {"step": "decontaminate", "dropped": {"contaminated": _count(30, 300_000)}, "left": _count(600, 5_000_000)},
    ]  # fmt: skip
    dropped = {reason: one for stage in funnel for reason, one in stage["dropped"].items()}
    licence = {"files": 500, "bytes": 4_100_000, "repositories": 8}
    return {
        "repositories": 9,
        "found": _count(1000, 10_000_000) | {"skipped_folders": {"hidden": 3}},
        "kept": _count(600, 5_000_000) | {"text_bytes": 4_900_000},
        "dropped": dropped,
        "funnel": funnel,
        "by_language": {"python": _count(400, 3_000_000), "c++": _count(200, 2_000_000)},
        "licences": {
            "conflicts": {"files": 2, "examples": ["r/a.py: MIT, but GPL-3.0-only"]},
            "expressions": {"MIT": licence, "GPL-3.0-only": _count(100, 1_000_000) | {"repositories": 1}},
            "classes": {"permissive": licence, "copyleft": _count(100, 1_000_000) | {"repositories": 1}},
            "evidence": {"header": licence, "package": _count(100, 1_000_000) | {"repositories": 1}},
        },
        "rank": {
            "repositories": 12, "dropped": 1, "signals": ["stars", "test_files"], "left_out": ["commits"],
            "without": {"stars": 4, "test_files": 0}, "without_any": 0, "lowest_kept": 0.125,
            "note": "12 repositories are few",
        },
        "sizes": {"64": 10, "256": 500, "4096": 90},
        "repository_sizes": {"1048576": 7, "2097152": 2},
        "duplicates": {
            "repositories": 1, "repository_pairs": [{"dropped": "old", "kept": "new", "share": 0.686}],
            "threshold": 0.85, "permutations": 512, "bands": 31, "rows": 16, "recall": 0.99,
            "recall_at_threshold": 0.908, "standard_error": 0.0158, "documents": 900, "candidate_pairs": 77,
            "verified_pairs": 55, "clusters": 13, "largest_cluster": 6,
        },
        "order": {"kinds": {"dependency": 6, "random": 3}, "imports": 200, "backward": 10},
        "counts": {
            "commented.blocks": 21, "commented.removed": 17, "defects.self-comparison": 8, "defects.S301": 5,
            "scrub.email": 31, "scrub.token": 2, "text.crlf": 44, "prose.contents": 3, "decontaminate.items": 1,
            "novel.thing": 99,
        },
        "examples": {"too_small": ["r/tiny.py"], "contaminated": ["r/solution.py"]},
        "audit": {
            "email": [{"file": "r/a.py", "step": "scrub", "kind": "email", "line": 12, "excerpt": "by <aaa@aaaa.aa>",
                       "replaced_by": "email@example.com"}],
            "commented": [{"file": "r/b.py", "kind": "commented", "lines": 3, "removed": True, "text": "x = old(1)"}],
            "decontaminate": [{"file": "r/solution.py", "item": "HumanEval/0", "share": 0.75, "run_words": 41}],
        },
        "shards": 1,
        "sources": ["/data/repositories"],
        "seconds": 75.0,
        "timing": {
            "wall": {"list": 0.5, "scan": 20.0, "clean": 50.0},
            "cpu": {"scan": 15.0, "scan.licence": 4.0, "clean": 60.0, "clean.syntax": 45.0},
            "cpu_seconds": 75.0, "mb_per_cpu_second": 0.133, "kept_mb_per_cpu_second": 0.067, "peak_bytes": 200_000_000,
        },
    }  # fmt: skip
