"""A site profile from its YAML file, or one error that lists everything wrong with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from aixmeg.config.load import read_yaml, sentence
from aixmeg.config.site import ContainerConfig, SiteConfig
from aixmeg.errors import UserError


def load_site(file: Path | None, changes: Mapping[str, Any] | None = None) -> SiteConfig:
    """The profile in `file`, with some fields replaced; without a file, the defaults.

    Raises:
        UserError: lists every unknown key, wrong type and broken rule at once.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    tree = {**(read_yaml(file) if file is not None else {}), **(changes or {})}
    for section in (SiteConfig, ContainerConfig):
        section.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[attr-defined]
    problems: list[str] = []
    broken: set[str] = set()
    adapter = TypeAdapter(SiteConfig)
    try:
        site = adapter.validate_json(json.dumps(tree))
    except ValidationError as error:
        problems += [sentence(item, SiteConfig()) for item in error.errors()]
        broken = {str(item["loc"][0]) for item in error.errors()}
        site = adapter.validate_json(json.dumps({name: value for name, value in tree.items() if name not in broken}))
    problems += site.problems("")
    if problems:
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        where = str(file) if file is not None else "the command line"
        raise UserError(f"{count} in the site profile {where}:\n" + "\n".join(f"  - {text}" for text in problems))
    return site


def dump_site(site: SiteConfig) -> str:
    """The whole profile as YAML; loading it gives an equal one."""
    plain = json.loads(json.dumps(dataclasses.asdict(site)))
    return yaml.safe_dump(plain, sort_keys=False, default_flow_style=False)
