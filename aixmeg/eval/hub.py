"""Benchmarks by their names at Hugging Face: `--data hf:NAME[@CONFIG][:SPLIT]`, read by the `datasets` library.

The library is imported, and anything downloaded, for such a name alone. It never runs code of a data set.
"""

from __future__ import annotations

import functools
import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aixmeg.errors import UserError

_MARK: Final = "hf:"


@dataclass(frozen=True)
class HubName:
    """What follows `hf:`."""

    name: str
    """`owner/name`, or a folder with a data set's files."""
    config: str | None
    """One of the data set's parts that are called configurations or subsets."""
    split: str
    """`test` where none is given."""

    @classmethod
    def of(cls, path: Path) -> HubName | None:
        """What `--data` names; None where it is a file or folder.

        Raises:
            UserError: no name.
        """
        text = str(path)
        if not text.startswith(_MARK):
            return None
        rest, _, split = text.removeprefix(_MARK).partition(":")
        name, _, config = rest.partition("@")
        if not name:
            raise UserError(f"--data {text} names no data set; write hf:NAME, hf:NAME@CONFIG or hf:NAME@CONFIG:SPLIT")
        return cls(name, config or None, split or "test")


@functools.lru_cache(maxsize=1)
def hub_rows(named: HubName) -> list[dict[str, Any]]:
    """The rows of a data set, as plain JSON values.

    Raises:
        UserError: `datasets` is not installed, there is no network and no earlier download, or no such data set,
            configuration or split.
    """
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise UserError(
            f"hf:{named.name} is read by the `datasets` library, which cannot be imported ({error}); "
            "`pip install datasets`, or give a .jsonl file"
        ) from error
    try:
        rows = list(datasets.load_dataset(named.name, named.config, split=named.split))
    except Exception as error:  # its own, the hub's and the network's have no common base
        raise UserError(
            f"`datasets` cannot load {named.name!r}, configuration {named.config or 'default'}, split {named.split!r}: "
            f"{type(error).__name__}: {str(error)[:400]}; look at the names on its page, and without network take a "
            "copy from elsewhere: hf:FOLDER, or a .jsonl file"
        ) from error
    if not rows:
        raise UserError(f"hf:{named.name}, split {named.split!r}, holds no records")
    return [json.loads(json.dumps(row, default=str)) for row in rows]
