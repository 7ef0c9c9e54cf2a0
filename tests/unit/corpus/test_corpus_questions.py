"""Plain text, Markdown, and questions with answers from JSON lines and Parquet reach the corpus as prose."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aixmeg.config import CorpusConfig
from aixmeg.config.corpus import LicenceConfig, NearConfig, ProseConfig
from aixmeg.corpus import read_corpus
from aixmeg.corpus.build import build_corpus
from aixmeg.errors import UserError

PARAGRAPHS = (
    "The reader of this page wants to know how a parser keeps the place of every token, and why it is better to keep "
    "it than to look for it again when an error has to be told to the person who wrote the file.",
    "There are two ways to store such places. One of them counts bytes from the beginning, which is cheap and exact; "
    "the other counts lines and columns, as an editor shows them, and has to decide what a column is in a "
    "line with tabs.",
    "For most programs the first way is enough, because the second can be computed from it when a message is printed. "
    "That happens seldom, and then a few thousand steps more are nothing that anybody would notice.",
)


def texts(number):
    """Prose that does not repeat itself, with a mark."""
    return "\n\n".join([*PARAGRAPHS, f"This was remark {number} of those that were made on a rainy afternoon."])


@pytest.fixture(params=["jsonl", "parquet"])
def sources(tmp_path, request):
    repository = tmp_path / "sources" / "project"
    repository.mkdir(parents=True)
    (repository / "guide.md").write_text(f"# Guide\n\n{texts(1)}\n")
    (repository / "notes.txt").write_text(texts(2) + "\n")
    (repository / "CMakeLists.txt").write_text("project(x)\nadd_executable(x x.c)\n" * 4)
    (repository / "main.py").write_text("def main(value):\n    return value + 1\n" * 3)
    rows = [
        {
            "title": "How?",
            "question": "How does a parser keep the places of its tokens?",
            "answers": [{"text": texts(4), "score": 7}, {"text": "no", "score": -2}],
        },
        {"question": texts(5), "answers": []},
    ]  # fmt: skip
    questions = tmp_path / f"questions.{request.param}"
    if request.param == "jsonl":
        questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), questions)
    return [repository.parent, questions]


def build(sources, output, **prose):
    config = CorpusConfig(
        sources=tuple(sources), licence=LicenceConfig(unknown="keep"), near=NearConfig(enabled=False),
        prose=ProseConfig(**prose), workers=1,
    )  # fmt: skip
    report = build_corpus(config, output)
    return report, {f"{one.repository}/{one.path}": one for one in read_corpus(output)}


def test_prose_of_every_kind_is_kept(sources, tmp_path):
    report, kept = build(sources, tmp_path / "corpus")
    by_language = {one.language for one in kept.values()}
    assert {"markdown", "text", "cmake", "python"} <= by_language
    (answered,) = [one for one in kept.values() if "Answer" in one.text]
    assert answered.language == "markdown"
    assert answered.text.startswith("# How?\n")
    assert "remark 4 " in answered.text
    assert "\nno\n" not in answered.text  # below the score
    assert report["dropped"]["prose_no_answer"]["files"] == 1
    assert {one.tags.get("kind") for one in kept.values() if one.language in ("markdown", "text")} == {"prose"}


def test_without_the_step_text_has_no_grammar_and_questions_no_content(sources, tmp_path):
    if sources[1].suffix == ".parquet":  # whose columns tell it before any row
        with pytest.raises(UserError, match="has no column content or text or code"):
            build(sources, tmp_path / "corpus", enabled=False)
        return
    report, kept = build(sources, tmp_path / "corpus", enabled=False)
    assert not any(one.language == "text" or "Answer" in one.text for one in kept.values())
    assert report["dropped"]["no_grammar"]["files"] == 1
    assert report["dropped"]["missing_column"]["files"] == 2
