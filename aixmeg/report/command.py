"""`aixmeg report`: one HTML page about a run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from aixmeg.config import Config
from aixmeg.files import atomic_write


def report(config: Config, *, out: Path | None = None, completion: dict[str, Any] | None = None) -> Path:
    """Write the page, print its path and return it; a part that is missing is said so in the page.

    Args:
        config: only `paths` is read.
        out: file to write; None means report.html in the run directory.
        completion: an infill to show first, with the keys of an entry of infills.json.

    Raises:
        UserError: no stage has written anything, or the page cannot be written.
    """
    from aixmeg.report.load import load_run
    from aixmeg.report.page import render

    page = render(load_run(config), written=datetime.now().astimezone(), completion=completion)
    target = out or config.paths.at("run") / "report.html"
    with atomic_write(target) as file:
        file.write(page)
    print(f"report: {target}")
    return target
