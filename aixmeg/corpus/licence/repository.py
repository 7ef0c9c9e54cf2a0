"""Evidence → decisions. Memory holds what folders say, not what files say: it grows with the licence files only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aixmeg.config.corpus import LicenceConfig
from aixmeg.corpus.licence.evidence import Evidence
from aixmeg.corpus.licence.expression import (
    Expression,
    Joined,
    Licence,
    NoExpressionError,
    joined,
    judge,
    licences,
    parse,
)
from aixmeg.corpus.licence.files import folder_of
from aixmeg.corpus.licence.table import UNRECOGNISED, Class

_MOST_FOLDERS: Final = 10_000
"""Folders with licence files that are remembered per repository; the first ones count."""
_CHOICE: Final = "licen"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one file, and why."""

    kept: bool
    reason: str | None
    """Drop reason: licence_copyleft, licence_unknown …; None if it is kept."""
    expression: str
    """What governs the file; "" if nothing is known."""
    kind: Class
    """Class of the licence that decided."""
    by: str
    """Kind of the evidence: spdx, header, text, package, source, or none."""
    conflict: str = ""
    """Two expressions that contradict each other, "A, but B", or ""."""


class Policy:
    """The configuration as a test of licences; made once."""

    def __init__(self, config: LicenceConfig) -> None:
        self.config = config
        self._keep, self._also, self._never = (
            frozenset(config.keep),
            frozenset(config.also_keep),
            frozenset(config.never_keep),
        )

    def allows(self, licence: Licence) -> bool:
        """Whether files under this licence alone are kept."""
        if licence.id in self._never:
            return False
        kept = licence.kind in self._keep or licence.id in self._also
        return kept or (licence.kind == "unknown" and self.config.unknown == "keep")


class RepositoryLicences:
    """What is known of one repository. `add` everything, in any order; then `decide` file by file."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, str]] = {}
        """Folder → file name → "package:MIT" or "text:MIT"."""
        self._governs: dict[str, tuple[Expression, str, str] | None] = {}

    def add(self, path: str, evidence: Evidence) -> None:
        """Note what a file says; evidence that concerns the file alone is not held."""
        if evidence.of_folder:
            folder = folder_of(path)
            name = path[len(folder) :].lstrip("/")
            if folder in self._folders or len(self._folders) < _MOST_FOLDERS:
                self._folders.setdefault(folder, {})[name] = f"{evidence.kind}:{evidence.expression}"
                self._governs.clear()

    def merge(self, other: RepositoryLicences) -> None:
        """Take over what another part of the repository says."""
        for folder, files in other._folders.items():
            self._folders.setdefault(folder, {}).update(files)
        self._governs.clear()

    def decide(self, path: str, evidence: Evidence | None, policy: Policy) -> Decision:
        """What becomes of a file: its own licence governs it, else the nearest folder's together with the source's."""
        if evidence is not None and evidence.kind in ("spdx", "header"):
            own = parsed(evidence.expression)
            around = self._nearest(path)
            conflict = _conflict(own, around[0]) if around else ""
            return _decision(own, evidence.kind, conflict, policy)
        folder = self._nearest(path)
        given = "" if evidence is None else evidence.expression if evidence.kind == "source" else evidence.source
        if folder is None:
            return _decision(parsed(given), "source", "", policy) if given else _decision(None, "none", "", policy)
        expression, by, conflict = folder
        if given and _unrecognised(expression):
            return _decision(parsed(given), "source", "", policy)
        if given and (clash := _conflict(parsed(given), expression)):
            expression, conflict = joined("AND", [expression, parsed(given)]) or expression, clash
        return _decision(expression, by, conflict, policy)

    def whole(self, policy: Policy) -> Decision:
        """What the root of the repository says."""
        return self.decide("", None, policy)

    def to_json(self) -> dict[str, Any]:
        """Plain values for `from_json`."""
        return {folder: dict(files) for folder, files in sorted(self._folders.items())}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> RepositoryLicences:
        """What `to_json` gave."""
        result = cls()
        result._folders = {folder: dict(files) for folder, files in tree.items()}
        return result

    def _nearest(self, path: str) -> tuple[Expression, str, str] | None:
        folder = path.rpartition("/")[0]
        asked = folder
        while asked not in self._governs:
            if asked in self._folders and (found := _of_folder(self._folders[asked])) is not None:
                self._governs[folder] = found
                return found
            if not asked:
                self._governs[folder] = None
                return None
            asked = asked.rpartition("/")[0]
        self._governs[folder] = self._governs[asked]
        return self._governs[folder]


def parsed(expression: str) -> Expression:
    """An expression of ours, or `LicenseRef-unrecognised` where it is none."""
    try:
        return parse(expression)
    except NoExpressionError:
        return Licence(UNRECOGNISED)


def _of_folder(files: dict[str, str]) -> tuple[Expression, str, str] | None:
    """What the licence files and the metadata of one folder say together: expression, kind of evidence, conflict."""
    texts = {name: parsed(value[5:]) for name, value in sorted(files.items()) if value.startswith("text:")}
    declared = joined("AND", [parsed(value[8:]) for _, value in sorted(files.items()) if value.startswith("package:")])
    known = {name: one for name, one in texts.items() if not _unrecognised(one)}
    if any("/" not in name for name in known) or (declared is not None and not _unrecognised(declared)):
        # LICENSES/ holds every text that any file refers to (REUSE): what stands beside it says what applies.
        known = {name: one for name, one in known.items() if "/" not in name}
    written = _of_texts(known) if known else None
    if declared is None or (_unrecognised(declared) and written is not None):
        if written is None:
            return (Licence(UNRECOGNISED), "text", "") if texts else None  # a name alone does not hide the folder above
        return written, "text", ""
    if written is None:
        return declared, "package", ""
    # The declaration says how the texts go together; a text of a stricter class than any that it names counts too.
    named = {one.kind for one in licences(declared)}
    others = [
        one for one in licences(written) if one.kind not in named and one.kind not in ("public_domain", "permissive")
    ]
    covered = "weak_copyleft" in named  # the LGPL comes with the text of the GPL
    others = [one for one in others if not (covered and one.id.startswith("GPL-"))]
    if not others:
        return declared, "package", ""
    return joined("AND", [declared, *others]) or declared, "package", f"{declared}, but {written}"


def _of_texts(texts: dict[str, Expression]) -> Expression:
    """Several licence files: a choice where each is named after its licence (LICENSE-MIT, LICENSE-APACHE), else all."""
    parts = list(texts.values())
    suffixed = [name for name in texts if "-" in name or "_" in name]
    if len(parts) > 1 and len(suffixed) == len(texts) and all(_CHOICE in name.lower() for name in texts):
        return joined("OR", parts) or parts[0]
    whole = joined("AND", parts) or parts[0]
    if isinstance(whole, Joined) and any(name.lower().endswith(".lesser") for name in texts):
        # COPYING beside COPYING.LESSER: the LGPL 3 is written as additions to the GPL.
        return joined("AND", [one for one in whole.parts if not str(one).startswith("GPL-")]) or whole
    return whole


def _unrecognised(expression: Expression) -> bool:
    return all(one.kind == "unknown" for one in licences(expression))


def _conflict(one: Expression, other: Expression) -> str:
    """Words for two expressions of different classes, if both are known."""
    first, second = judge(one, _nothing)[1], judge(other, _nothing)[1]
    free = ("public_domain", "permissive")
    if first == second or "unknown" in (first, second) or (first in free and second in free):
        return ""
    return f"{one}, but {other}"


def _nothing(_: Licence) -> bool:
    return False


def _decision(expression: Expression | None, by: str, conflict: str, policy: Policy) -> Decision:
    if expression is None:
        allowed, kind = policy.config.unknown == "keep", "unknown"
    else:
        allowed, kind = judge(expression, policy.allows)
    reason = None if allowed else f"licence_{kind}"
    return Decision(allowed, reason, str(expression or ""), kind, by, conflict)
