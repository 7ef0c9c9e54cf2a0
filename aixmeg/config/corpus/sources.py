"""How sources are read: git, archives, JSON lines and Parquet, and what becomes of encodings and line endings."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SourcesConfig:
    """How sources are read, and what becomes of encodings and line endings."""

    git_ref: str = "HEAD"
    """What is read of a bare git repository: a branch, tag or commit."""
    repository_depth: int = 0
    """Leading folders of a path that name its repository, in archives and in rows without a repository; 0 takes the
    archive or table as one repository."""
    content_column: str = ""
    """Column with the text; empty takes the first there is of content, text, code."""
    repository_column: str = ""
    """Column that names the repository; empty takes the first there is of max_stars_repo_name, repo_name, …"""
    path_column: str = ""
    """Column with the path inside the repository; empty takes the first there is of max_stars_repo_path, path, …"""
    language_column: str = ""
    """Column that names the language, used where the path does not tell it; empty takes lang, language, …"""
    licence_column: str = ""
    """Column with the licence or a list of them; empty takes max_stars_repo_licenses, detected_licenses, license, …"""
    stars_column: str = ""
    """Column with the number of stars; empty takes max_stars_count, star_events_count, stars, …"""
    max_broken_share: float = 0.5
    """Share of a range's rows (of 20 or more) that may be broken, by invalid JSON or missing or wrongly typed columns,
    before the build stops; 1.0 never stops."""
    max_expansion: int = 200
    """Times its own size that a compressed file may expand to (64 MiB are always allowed) before the rest is dropped as
    `archive_bomb`; 0 disables the limit."""
    language_by_content: bool = True
    """Whether the content decides where the name is ambiguous (.h, .m, .pl, scripts without an extension)."""
    encodings: tuple[str, ...] = ()
    """Encodings tried in this order on what is not UTF-8, such as utf-16, cp1252, latin-1; UTF-16 needs its byte order
    mark. The corpus then holds UTF-8."""
    byte_order_mark: Literal["keep", "strip"] = "keep"
    """What becomes of a UTF-8 byte order mark at the beginning of a file."""
    line_endings: Literal["keep", "lf"] = "keep"
    """Whether CRLF and lone CR stay, or become LF."""

    def problems(self, where: str) -> Iterator[str]:
        """Broken rules, as sentences."""
        if not 0.0 <= self.max_broken_share <= 1.0:
            yield f"{where}.max_broken_share={self.max_broken_share} must be between 0 and 1"
        for name in ("repository_depth", "max_expansion"):
            if getattr(self, name) < 0:
                yield f"{where}.{name}={getattr(self, name)} must be zero or more"
        if not self.git_ref or self.git_ref.startswith("-"):
            yield f"{where}.git_ref={self.git_ref!r} must name a branch, tag or commit; HEAD is the default"
        for encoding in self.encodings:
            try:
                known = codecs.lookup(encoding)._is_text_encoding
            except LookupError:
                known = False
            if not known:
                yield f"{where}.encodings holds {encoding!r}, which is no text encoding of Python; try utf-16, cp1252"
