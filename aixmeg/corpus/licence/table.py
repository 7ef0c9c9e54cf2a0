"""The table of licences: SPDX id → class, the names that people and package managers write → SPDX id."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

Class = Literal["public_domain", "permissive", "weak_copyleft", "copyleft", "unknown", "non_free"]
"""What a licence asks for, from nothing to what no corpus can promise."""

CLASSES: Final[tuple[Class, ...]] = get_args(Class)
UNRECOGNISED: Final = "LicenseRef-unrecognised"
"""Stands for a licence text or name that is none of the table's; its class is unknown."""
PUBLIC_DOMAIN: Final = "LicenseRef-Public-Domain"
PROPRIETARY: Final = "LicenseRef-Proprietary"

_TABLE: Final = json.loads(Path(__file__).with_name("licences.json").read_text(encoding="utf-8"))
CLASS_OF: Final[Mapping[str, Class]] = {one: name for name, ids in _TABLE["classes"].items() for one in ids}
"""SPDX id → class."""
LINKING_EXCEPTIONS: Final = frozenset(one.lower() for one in _TABLE["linking_exceptions"])
"""Exceptions, in lower case, that let other code be linked under other terms: the GPL with one is a weak copyleft."""

_BY_NAME: Final = {one.lower(): one for one in CLASS_OF}
_OTHER_NAMES: Final = {key.lower(): value for key, value in _TABLE["names"].items()}
_SPACES: Final = re.compile(r"[\s,_]+")


def class_of(spdx_id: str) -> Class:
    """The class of an id as `spdx_id` gives it."""
    return CLASS_OF.get(spdx_id, "unknown")


@functools.lru_cache(maxsize=4096)
def spdx_id(name: str) -> str | None:
    """The SPDX id (or, for a few names, expression) that a name stands for: "mit", "Apache 2", "GPLv3+", "GPL-2.0".

    None if the table does not know it. Old ids become the new ones (GPL-2.0+ is GPL-2.0-or-later); the `+` of a licence
    that has no other form for "or later" is dropped, as it changes no class.
    """
    key = name.strip().strip("\"'").lower()
    found = _BY_NAME.get(key) or _OTHER_NAMES.get(key)
    if found:
        return found
    key = _SPACES.sub(" ", key).strip(" .;")
    for form in (key, key.replace(" ", "-"), key.removeprefix("the "), key.removesuffix(" license")):
        if found := _BY_NAME.get(form) or _OTHER_NAMES.get(form):
            return found
    return spdx_id(key[:-1]) if key.endswith("+") else None
