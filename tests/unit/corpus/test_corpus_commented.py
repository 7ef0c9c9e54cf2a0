from __future__ import annotations

import re

import pytest
from commented_blocks import CODE, PROSE
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.config.corpus.commented import CommentedConfig
from aixmeg.corpus.comment_blocks import find_blocks
from aixmeg.corpus.commented import make_step
from aixmeg.corpus.document import Document
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import parse

ALWAYS = CommentedConfig(probability=1.0, min_lines=3)


def run(language: str, text: str, config: CommentedConfig = ALWAYS, path: str = "a") -> Document:
    document = Document(repository="r", path=path, language=language, content=text.encode())
    make_step(config)(document)
    return document


def split(marked: str) -> tuple[str, str]:
    """The text, and the text without what is marked."""
    return marked.replace("«", "").replace("»", ""), re.sub("«.*»", "", marked, flags=re.DOTALL)


@pytest.mark.parametrize("name", CODE)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_commented_out_code_goes(name: str, newline: str) -> None:
    language, marked = CODE[name]
    text, without = split(marked.replace("\n", newline))
    document = run(language, text)
    assert document.content.decode() == without
    assert document.counts["commented.blocks"] == document.counts["commented.removed"] == 1
    assert document.counts["commented.lines"] == document.counts["commented.removed_lines"] >= 3
    assert [record["removed"] for record in document.audit] == [True]


@pytest.mark.parametrize("name", PROSE)
def test_everything_else_stays(name: str) -> None:
    language, marked = PROSE[name]
    text, _ = split(marked)
    document = run(language, text)
    assert document.content.decode() == text
    assert not document.counts
    assert not document.audit


def test_short_blocks_stay() -> None:
    text = "x = 1\n# y = f(x)\n# g(y)\nz = 2\n"
    assert run("python", text).content.decode() == text
    assert run("python", text, CommentedConfig(probability=1.0, min_lines=2)).content == b"x = 1\nz = 2\n"


def test_preamble_of_cgo_stays() -> None:
    block = "// x := f(1)\n// y := g(x)\n// h(y)\n"
    assert run("go", f'package p\n\n{block}import "C"\n').counts["commented.blocks"] == 0
    assert run("go", f'package p\n\n{block}import "fmt"\n').counts["commented.removed"] == 1


def test_draws_are_by_block_pure_and_as_often_as_asked() -> None:
    block = "# y = f({i})\n# g(y)\n# h(y, {i})\n"
    text = "".join(block.format(i=i) + f"x{i} = {i}\n" for i in range(400))
    config = CommentedConfig(probability=0.3)
    one = run("python", text, config)
    assert one.counts["commented.blocks"] == 400
    assert 80 <= one.counts["commented.removed"] <= 160  # 120, sigma 9
    assert run("python", text, config).content == one.content
    assert run("python", text, config, path="b").content != one.content
    assert run("python", text, CommentedConfig(probability=0.3, seed=1)).content != one.content
    removed = [record["removed"] for record in one.audit]
    assert sum(removed) == one.counts["commented.removed"]
    more = [record["removed"] for record in run("python", text, CommentedConfig(probability=0.6)).audit]
    assert all(b for a, b in zip(removed, more, strict=True) if a)  # a higher probability removes more of the same


def test_probability_zero_counts_only() -> None:
    text, _ = split(CODE["c block"][1])
    document = run("c", text, CommentedConfig(probability=0.0))
    assert document.content.decode() == text
    assert (document.counts["commented.blocks"], document.counts["commented.removed"]) == (1, 0)


def test_what_would_parse_worse_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Worse(Document):
        def tree(self):
            tree = super().tree()
            if self.content != text.encode():
                object.__setattr__(tree, "error_bytes", 1)
            return tree

    text, _ = split(CODE["c block"][1])
    document = Worse(repository="r", path="a", language="c", content=text.encode())
    make_step(ALWAYS)(document)
    assert document.content == text.encode()
    assert document.counts["commented.removed"] == 0
    assert document.counts["commented.kept_to_parse"] == 1
    assert [record["removed"] for record in document.audit] == [False]
    assert document.tree().error_bytes == 0


def test_languages_without_marks_pass() -> None:
    for language in ("abap", "html", "markdown"):
        assert run(language, "<!-- x = 1 -->\n").content == b"<!-- x = 1 -->\n"


def test_data_in_long_lines_stays() -> None:
    for count, removed in ((100, 1), (200, 0)):
        text = "int x;\n" + "".join(f"// int a{i}[] = {{{'1, ' * count}1}};\n" for i in range(3)) + "int y;\n"
        assert run("c", text).counts["commented.removed"] == removed


def test_last_line_without_an_end() -> None:
    assert run("python", "x = 1\n# y = f(x)\n# g(y)\n# h(y)").content == b"x = 1\n"


def reference(text: str, min_lines: int) -> list[list[str]]:
    """Runs of lines that are nothing but a line comment: an independent, slow definition."""
    runs: list[list[str]] = [[]]
    for line in text.split("\n"):
        if re.fullmatch(r"[ \t]*//(?![/!]).*", line):
            runs[-1].append(line)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if len(run) >= min_lines]


LINE = st.sampled_from(
    ["int a;", "  // b = 1;", "// c();", "\t// d(e);", "int f; // g();", "", "/// h;", "//! i;", "'//';"]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(LINE, max_size=25), st.integers(1, 4))
def test_blocks_are_runs_of_whole_lines(lines: list[str], min_lines: int) -> None:
    text = "\n".join(lines) + "\n"
    found = list(find_blocks(parse(LANGUAGES["c"], text.encode()), min_lines))
    assert [text[block.start : block.end].rstrip("\n").split("\n") for block in found] == reference(text, min_lines)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(CODE) + sorted(PROSE)),
    edits=st.lists(st.tuples(st.floats(0, 1), st.text(max_size=6).map(str.encode)), max_size=5),
)
def test_any_text_loses_whole_lines_only(name: str, edits: list[tuple[float, bytes]]) -> None:
    language, marked = (CODE | PROSE)[name]
    source = split(marked)[0].encode() * 2
    for place, text in edits:
        at = int(place * len(source))
        source = source[:at] + text + source[at:]
    document = Document(repository="r", path="a", language=language, content=source)
    make_step(CommentedConfig(probability=1.0, min_lines=1))(document)
    rest = iter(source.split(b"\n"))
    assert all(any(line == other for other in rest) for line in document.content.split(b"\n") if line)


def test_configuration_says_what_is_wrong() -> None:
    wrong = CommentedConfig(probability=1.5, min_lines=0, max_error_share=-0.1)
    assert list(wrong.problems("corpus.commented")) == [
        "corpus.commented.probability=1.5 is not between 0 and 1",
        "corpus.commented.max_error_share=-0.1 is not between 0 and 1",
        "corpus.commented.min_lines=0 is below 1; set corpus.commented.enabled=false to leave all blocks alone",
    ]
    assert not list(CommentedConfig().problems("corpus.commented"))
