"""Which documents are prose, and which of them nobody needs to read twice."""

from __future__ import annotations

import re
from typing import Final

PROSE_LANGUAGES: Final = frozenset({"markdown", "restructuredtext", "text"})
"""Languages, as the table names them, whose documents are prose."""

_BOILERPLATE: Final = re.compile(
    r"(?:.*[-_.])?(?:licen[cs]es?|copying|copyright|notice|patents|change[-_]?log|changes|history|news|releases?"
    r"|release[-_]?notes?|whats[-_]?new|upgrading|authors?|contributors?|credits|thanks|acknowledg\w*|maintainers"
    r"|codeowners|owners|backers|sponsors|code[-_]of[-_]conduct|security|governance|pull[-_]request[-_]template"
    r"|issue[-_]template|bug[-_]report|feature[-_]request|cla|dco|todo|version|manifest|toc|_sidebar|summary)"
    r"(?:[-_.]?(?:v?\d[\w.-]*|[a-z]{2}(?:[-_][a-z]{2})?))?(?:\.[a-z]{2,8}){0,2}"
    r"|requirements.*\.txt|constraints.*\.txt|cmakelists\.txt|robots\.txt|humans\.txt|ads\.txt|entry_points\.txt"
    r"|top_level\.txt|sources\.txt|record\.txt|dependency_links\.txt|requires\.txt|namespace_packages\.txt"
    r"|stop-?words.*\.txt|words.*\.txt|dict\w*\.txt|file_?lists?\.txt"
)
_FOLDERS: Final = re.compile(
    r"(?:^|/)(?:licen[cs]es|changelogs?|changes|newsfragments|release[-_]?notes|changelog\.d|relnotes|whatsnew|\.github"
    r"|[^/]*\.(?:dist|egg)-info|issue_template|locales?|i18n|translations|testdata|fixtures?|__snapshots__)/"
    r"|(?:^|/)(?:tests?|__tests__|testing|specs?)/(?:.*/)?[^/]*\.txt$|\.ron$"
)


def is_boilerplate(path: str) -> bool:
    """Whether the name is that of a licence, a change log, a list of authors or requirements …"""
    path = path.lower()
    return bool(_BOILERPLATE.fullmatch(path.rpartition("/")[2])) or bool(_FOLDERS.search(path))
