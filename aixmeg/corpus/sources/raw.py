"""What every kind of source gives: raw documents."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class RawDocument:
    """One file as its source holds it, or the reason why it is not read."""

    repository: str
    path: str
    """Inside the repository, with `/`; valid UTF-8 (with `reason="bad_name"`, what is not is escaped). An archive or
    table may hold one path twice."""
    size: int
    """Bytes of the content, also when it was not read; 0 where the source does not tell."""
    language: str | None = None
    """Key of `LANGUAGES`; None only with a reason."""
    content: bytes | None = None
    """Bytes as they are: no encoding is checked here. None with a reason, but for files that `Rules.also_read` asks
    for: these have both."""
    reason: str | None = None
    """Why it is dropped: a key of `aixmeg.corpus.reasons.REASONS`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What the source knows: `stars` (int), `licences` (list of str), `language` (as the source names it)."""
    index: int = 0
    """Position in its input, dropped documents included: the same whenever the input is read under equal rules."""
