"""The corpus's page: it says what report.json says, survives any report.json, and nothing breaks out of it."""

from __future__ import annotations

import copy
import html
import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from report_corpus import corpus_report
from report_pages import HOSTILE, Page

import aixmeg
from aixmeg.cli import main
from aixmeg.config import Config, CorpusConfig
from aixmeg.config.corpus.scrub import SCRUB_KINDS
from aixmeg.corpus.reasons import REASONS
from aixmeg.corpus.steps import STEP_ORDER
from aixmeg.errors import UserError
from aixmeg.report import corpus_command
from aixmeg.report.corpus_page import CONTENTS, corpus_sections
from aixmeg.report.corpus_page.changed import KINDS
from aixmeg.report.corpus_page.drops import STEPS


def put(config: Config, tree: Any) -> None:
    folder = config.paths.at("corpus")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(tree if isinstance(tree, str) else json.dumps(tree))


def page_of(config: Config, tree: Any) -> Page:
    put(config, tree)
    return Page(corpus_command.report(config))


def test_every_part_is_on_the_page(config, capsys):
    page = page_of(config, corpus_report())
    assert capsys.readouterr().out == f"page: {config.paths.at('corpus') / 'report.html'}\n"
    for expected in (
        "600", "of 1,000 found (60.0 %)", "of 10.0 MB found (50.0 %)", "in 2 languages",  # overview
        "too small", REASONS["too_small"], "−2.0 MB · 20.0 %", "−100 · 10.0 %", "5.0 MB · 50.0 %",  # funnel
        "Folders not entered: hidden 3.", "r/tiny.py",
        "Cleaning took 100 kB out of these files.", "c++", "/data/repositories",  # kept
        "40 files, 400 kB", "like new", "68.6 %", "31 × 16", "77, 55", "90.8 %",  # duplicates
        "GPL-3.0-only", "package metadata", "Contradictions in 2 files", "r/a.py: MIT, but GPL-3.0-only",
        "12 repositories are few", "stars, test files", "0.125", "Without stars",  # ranking
        "e-mail addresses", "by <aaa@aaaa.aa>", "r/a.py:12 → email@example.com", "1 of 31",  # scrub
        "Blocks removed, by draw", "x = old(1)", "removed: r/b.py",
        "30 files dropped for what they hold", "HumanEval/0: 75.0 % of it, 41 words in a row",
        "Files with CRLF", "Novel", "Thing",  # counts that the page has no words for
        "bug: A value is compared with itself", "vulnerability: a rule of ruff", "70 files for a bug",
        "imported files first", "95.0 % of 200 imports", "1 min 15 s", "reading and the rest (clean)", "200 MB",
    ):  # fmt: skip
        assert expected in page.text, expected
    assert set(CONTENTS) <= set(page.ids())
    assert len(page.ids()) == len(set(page.ids()))
    links = {attributes["href"] for name, attributes in page.elements if name == "a"}
    assert links == {f"#{name}" for name in CONTENTS}


def test_steps_and_kinds_have_names():
    assert set(STEP_ORDER) <= set(STEPS)
    assert set(SCRUB_KINDS) <= set(KINDS)


def test_phases_of_time_add_up(config):
    text = page_of(config, corpus_report()).text
    # Of clean's 60 s syntax took 45, of scan's 15 s licences took 4.
    assert re.search(r"reading and the rest \(clean\)\s*15 s", text)
    assert re.search(r"reading and the rest \(scan\)\s*11 s", text)


def spoiled(value: Any) -> Any:
    """The tree with hostile text in every string and every name that is not the format's own."""
    if isinstance(value, dict):
        free = {"python", "MIT", "too_small", "email", "hidden", "stars", "dependency", "novel.thing", "scan.licence"}
        return {key + HOSTILE if key in free else key: spoiled(one) for key, one in value.items()}
    if isinstance(value, list):
        return [spoiled(one) for one in value]
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_names_stay_text(config):
    tree = corpus_report()
    benign = page_of(config, tree)
    hostile = page_of(config, spoiled(tree))
    for kind in ("script", "style", "img", "iframe", "a"):
        assert [name for name, _ in hostile.elements].count(kind) == [name for name, _ in benign.elements].count(kind)
    assert not any(key.startswith("on") for _, attributes in hostile.elements for key in attributes)
    assert "<img src=x onerror=alert(1)>" in hostile.text  # as text
    assert "\u202e" not in hostile.source and "\x00" not in hostile.source
    assert "[U+202E]" in hostile.text


def places(tree: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, *path, key)


@pytest.mark.parametrize("wrong", [None, [], {}, "text", [None], {"a": {"b": []}}, -1, 0, 1e308, float("nan"), 10**400])
def test_any_wrong_value_leaves_a_page(wrong):
    whole = corpus_report()
    for path in places(whole):
        tree = copy.deepcopy(whole)
        at: Any = tree
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = wrong
        made = "".join(corpus_sections(tree))
        assert made.count("<section") == made.count("</section>") == len(CONTENTS) + 1, path
        assert not re.search(r" (?:width|height|d)=\"[^\"]*-", made), path  # no length is negative


def test_an_empty_report_leaves_a_page(config):
    text = page_of(config, {}).text
    assert "No file was dropped." in text and "No file was kept." in text and "Nothing was changed." in text


def test_endless_names_are_cut(config):
    tree = corpus_report()
    tree["examples"]["too_small"] = ["r/" + "x" * 1_000_000]
    tree["audit"]["email"][0]["excerpt"] = "y" * 1_000_000
    assert len(page_of(config, tree).source) < 200_000


def test_the_page_needs_nothing_from_elsewhere(config):
    page = page_of(config, corpus_report())
    assert not re.search(r"(?:src|href)=\"(?!#)", page.source)
    assert "default-src 'none'" in html.unescape(page.source)


def test_json_lies_beside_a_page_elsewhere(config, tmp_path):
    tree = corpus_report()
    put(config, tree)
    before = (config.paths.at("corpus") / "report.json").read_bytes()
    corpus_command.report(config)
    assert (config.paths.at("corpus") / "report.json").read_bytes() == before
    corpus_command.report(config, out=tmp_path / "page.html")
    assert json.loads((tmp_path / "page.json").read_text()) == tree
    with pytest.raises(UserError, match=r"page\.json is where the JSON beside the page would be"):
        corpus_command.report(config, out=tmp_path / "page.json")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "`aixmeg corpus build` writes it"), ("[]", "holds list where"), ("{", "report.json")]
)
def test_without_a_report_there_is_an_error(config, content, said):
    if content is not None:
        put(config, content)
    with pytest.raises(UserError, match=said):
        corpus_command.report(config)


def test_build_writes_the_page_and_report_writes_it_again(tmp_path, capsys):
    for name, text in {"one/a.py": "a", "one/b.py": "b", "one/c.py": "a", "two/notes.unknown": "?"}.items():
        file = tmp_path / "src" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"def {text}_{i}(x):\n    return x + {i}\n\n\n" for i in range(9)))
    options = [f"--paths.root={tmp_path}", f"--corpus.sources=[{tmp_path / 'src'}]", "--corpus.licence.enabled=false",
               "--corpus.workers=1", "--corpus.defects.enabled=false"]  # fmt: skip
    assert main(["corpus", "build", *options]) == 0
    printed = capsys.readouterr().out
    for words in ("exact_duplicate", "unknown_language", "Corpus: 2 of 4 files", "report.html"):
        assert words in printed
    page = tmp_path / "corpus" / "report.html"
    text = Page(page).text
    assert "of 4 found (50.0 %)" in text and "one/c.py" in text and "unknown language" in text
    page.unlink()
    assert main(["corpus", "report", options[0]]) == 0
    assert Page(page).text == text


def test_the_manual_names_every_reason_and_section():
    manual = (Path(aixmeg.__file__).parents[1] / "docs" / "corpus.md").read_text(encoding="utf-8")
    assert [reason for reason in REASONS if f"`{reason}`" not in manual] == []
    sections = [field.name for field in fields(CorpusConfig) if is_dataclass(getattr(CorpusConfig(), field.name))]
    assert [name for name in sections if f"`corpus.{name}" not in manual] == []
