"""What troubled the run, with cause and cost: attempts that ended early, failures, slow ranks, lost checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime

from aixmeg.report import numbers
from aixmeg.report.blocks import section, table
from aixmeg.report.load import Run
from aixmeg.report.markup import Html
from aixmeg.watch.troubles import Trouble

_LISTED = 200


def troubles(run: Run) -> Html:
    """The section with one row for each, the newest last; nothing where there were none."""
    if not run.troubles:
        return Html("")
    rows = [_row(trouble) for trouble in run.troubles[-_LISTED:]]
    cost = sum(trouble.seconds or 0.0 for trouble in run.troubles)
    lede = (
        f"{numbers.plural(len(run.troubles), 'trouble')}, which cost {numbers.duration(cost)} in all: for an end or "
        "a failure until the next attempt trained, and the steps that it trained again; for a slow rank the wait of "
        "the others."
    )
    headings = ("When", "Cause", "Steps done again", "Cost")
    return section(
        "troubles",
        "What troubled the run",
        table(headings, rows, caption="Failures, restarts and slow ranks"),
        lede=lede,
    )


def _row(trouble: Trouble) -> tuple[str, str, str, str]:
    moment = f"{datetime.fromtimestamp(trouble.time, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return moment, trouble.cause, numbers.count(trouble.steps_lost), numbers.duration(trouble.seconds)
