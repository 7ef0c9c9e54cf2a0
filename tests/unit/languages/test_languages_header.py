from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.languages import LANGUAGES, header_lines


@pytest.mark.parametrize(
    ("language", "path", "header"),
    [
        ("python", "a/test.py", "# the file path is: a/test.py\n# the code file is written by Python\n"),
        ("delphi", "u.pas", "{the file path is: u.pas}\n{the code file is written by Delphi}\n"),
        ("delphi", "u}.pas", "{the code file is written by Delphi}\n"),
        ("html", "a.html", "<!--the file path is: a.html-->\n<!--the code file is written by HTML-->\n"),
        ("css", "a/b.css", "/* the file path is: a/b.css */\n/* the code file is written by CSS */\n"),
        ("css", "a*/b.css", "/* the code file is written by CSS */\n"),
        ("c", "{}/{0}%s.c", "// the file path is: {}/{0}%s.c\n// the code file is written by C\n"),
        ("python", "a b/é.py", "# the file path is: a b/é.py\n# the code file is written by Python\n"),
        ("python", "", "# the code file is written by Python\n"),
        ("python", "a\nimport os\n.py", "# the code file is written by Python\n"),
        ("python", "a\x85b.py", "# the code file is written by Python\n"),
        ("python", "a\u2028b.py", "# the code file is written by Python\n"),
        ("python", "a\udc80b.py", "# the code file is written by Python\n"),
    ],
)
def test_header_lines(language: str, path: str, header: str) -> None:
    assert header_lines(LANGUAGES[language], path) == header


@given(path=st.text(), language=st.sampled_from(sorted(set(LANGUAGES) - {"text"})))  # which has no comments
def test_header_is_whole_comment_lines(path: str, language: str) -> None:
    row = LANGUAGES[language]
    header = header_lines(row, path)
    lines = header.splitlines()
    assert header.encode().endswith(f"{row.language_line}\n".encode())
    assert len(lines) == header.count("\n") <= 2
    if len(lines) == 2:
        before, after = (row.path_comment or "").split("{}")
        assert lines[0] == f"{before}the file path is: {path}{after}"
        assert not after.strip() or lines[0].find(after.strip()) == len(lines[0]) - len(after.strip())
