"""`aixmeg slurm fit`: which nodes of a job are not fit to train on, and what follows; RUN/health/unfit.json keeps them.

A job that starts again leaves them out, and so does the next submission of the run, until the file is removed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aixmeg.cluster.attempts import now, read_attempts
from aixmeg.cluster.judge import judge
from aixmeg.cluster.reading import read_object, read_state
from aixmeg.cluster.supervise import AGAIN, COMPLETE, say
from aixmeg.config.site import SiteConfig
from aixmeg.errors import UserError
from aixmeg.files import write_json

FILE = "health/unfit.json"
_SILENT = "gave no answer before the time limit of the look at it (health_seconds)"


def fit(run: Path, *, checked: Path, nodes: str, max_restarts: int) -> int:
    """Print the unfit nodes with commas, and note the attempt as ended by them; 0 when all are fit, else its status."""
    found = unfit(checked, nodes.split(","))
    if not found:
        return COMPLETE
    known = read_object(run / FILE) | {node: {"problems": why, "time": now()} for node, why in found.items()}
    try:
        write_json(run / FILE, known)
    except UserError as error:
        print(f"aixmeg: the unfit nodes are not kept: {error}", file=sys.stderr)
    print(",".join(sorted(known)))
    attempts, state = read_attempts(run), read_state(run)
    if not attempts or attempts[-1].kind != "running":  # `begin` could not write
        return AGAIN
    last = attempts[-1]
    last.kind, last.ended, last.step, last.checkpoint = "unfit", now(), state.step, state.checkpoint or 0
    last.cause = "; ".join(f"{node}: {', '.join(why)}" for node, why in sorted(found.items()))
    return say(run, attempts, judge(attempts, max_restarts=max_restarts))


def unfit(checked: Path, nodes: Sequence[str]) -> dict[str, list[str]]:
    """What is wrong with each node that is not fit. Where none has answered, it is not the nodes that are at fault:
    then the ranks start, and tell."""
    if trouble := read_object(checked / "trouble.json").get("trouble"):
        print(f"aixmeg: the look at the nodes: {trouble}", file=sys.stderr)
    answers = [one for path in sorted(checked.glob("*.json")) if (one := read_object(path)).get("node")]
    answered = {str(answer.get("node")) for answer in answers}
    if not answered:
        print("aixmeg: no node has answered whether it is fit; the log of the ranks says why", file=sys.stderr)
        return {}
    found: dict[str, list[str]] = {node: [_SILENT] for node in nodes if node not in answered}
    for answer in answers:
        if answer.get("problems"):
            found.setdefault(str(answer["node"]), []).extend(map(_told, answer["problems"]))
    for answer in answers:
        if answer.get("begun") and str(answer["node"]) not in found:  # else rank 0 has told of it
            found[str(answer["node"])] = [f"rank {answer.get('rank')} began {answer['begun']} and did not end it"]
    return found


def without_bad_nodes(site: SiteConfig, run: Path) -> SiteConfig:
    """The profile, which also excludes the nodes that an earlier job of the run found unfit."""
    bad = sorted(read_object(run / FILE).keys() - set(site.exclude))
    if not bad:
        return site
    print(f"aixmeg: leaving out {', '.join(bad)}: unfit before, as {run / FILE} says; remove it to take them again",
          file=sys.stderr)  # fmt: skip
    return dataclasses.replace(site, exclude=(*site.exclude, *bad))


def _told(problem: Any) -> str:
    """`GPU 3: 7 uncorrected memory errors`."""
    if not isinstance(problem, dict):
        return str(problem)
    return f"{problem.get('where')}: {problem.get('what')}"
