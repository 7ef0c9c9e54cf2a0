"""Natural-language documents: which are kept, what is removed from them, questions and answers."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aixmeg.config.corpus import ProseConfig
from aixmeg.corpus.document import Document
from aixmeg.corpus.prose import is_question, make_cleaner, make_step, question_text
from aixmeg.corpus.prose.clean import blocks, cleaned
from aixmeg.corpus.prose.names import is_boilerplate
from aixmeg.corpus.prose.quality import DUPLICATE, TOP, _duplicate_share, _top_share, is_repetitive
from aixmeg.corpus.prose.step import drawn
from aixmeg.corpus.reasons import REASONS, Dropped

GUIDE = """# How the cache works

Every request looks into the cache first. If the page is there and not older than an hour, it is sent at once, so that
the database has nothing to do. If it is not, the page is built from its parts and put into the cache for those who
come after. You can change how long pages stay with the option `lifetime`, which is given in seconds.

```python
cache = Cache(lifetime=60)   # <!-- stays -->
```

When the memory is full, the page that nobody has asked for the longest time is removed. This is done by the worker
that runs every minute, and not by the request itself, as users should not wait for it.
"""


def document(text, path="docs/cache.md", language="markdown"):
    return Document(repository="r", path=path, language=language, content=text.encode())


def reason(text, path="docs/cache.md", language="markdown", **config):
    one = document(text, path, language)
    try:
        make_step(ProseConfig(**config))(one)
    except Dropped as drop:
        assert drop.reason in REASONS
        return drop.reason
    assert one.content == text.encode()
    return None


def test_a_guide_is_kept_and_code_is_not_looked_at():
    assert reason(GUIDE) is None
    code = document("x = 1\n", "a.py", "python")
    make_step(ProseConfig(weight=0.0))(code)
    make_cleaner(ProseConfig())(code)
    assert (code.content, code.tags) == (b"x = 1\n", {})


def test_what_is_dropped_and_switched_off():
    german = "Der Zwischenspeicher hält jede Seite eine Stunde lang vor, damit die Datenbank nichts tun muss. " * 2
    german += (
        "Ist der Speicher voll, verschwindet jene Seite, nach der am längsten niemand gefragt hat, und zwar still. " * 3
    )
    cases = [
        ("A short note.", "prose_too_short", {"min_words": 0}),
        ("12 0.5 17 0x1f " * 40, "prose_not_words", {"min_alphabetic_share": 0.0, "repetition": 0.0}),
        (
            "- one of the many\n- and the other of them\n" * 20,
            "prose_list",
            {"max_bullet_share": 1.0, "repetition": 0.0},
        ),
        (german, "prose_not_english", {"min_stop_words_share": 0.0, "repetition": 0.0}),
        (GUIDE.split("\n")[2] * 12, "prose_repetitive", {"repetition": 0.0}),
    ]
    for text, expected, off in cases:
        assert reason(text) == expected
        assert reason(text, **off) != expected, expected


@pytest.mark.parametrize(
    "path",
    ["LICENSE.md", "docs/CHANGELOG.rst", "CHANGES-2.0.txt", "AUTHORS.txt", "CODE_OF_CONDUCT.md", "requirements-dev.txt",
     "x.dist-info/top_level.txt", "changelogs/v1.md", "src/CMakeLists.txt", "tests/a/input.txt"],
)  # fmt: skip
def test_boilerplate(path):
    assert is_boilerplate(path) and reason(GUIDE, path) == "prose_boilerplate"
    assert reason(GUIDE, path, boilerplate=False) is None


@pytest.mark.parametrize(
    "path", ["README.md", "docs/licensing-guide.md", "docs/tests.md", "tests/README.md", "newsletter.txt"]
)
def test_not_boilerplate(path):
    assert not is_boilerplate(path)


def test_weight_is_a_draw_per_document():
    paths = [f"docs/{number}.md" for number in range(2000)]
    kept = {
        weight: {one for one in paths if drawn(ProseConfig(weight=weight), "r", one)} for weight in (0.0, 0.2, 0.5, 1.0)
    }
    assert not kept[0.0] and kept[1.0] == set(paths)
    assert kept[0.2] < kept[0.5]  # a larger share holds the smaller one
    assert abs(len(kept[0.2]) - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8)
    assert kept[0.5] != {one for one in paths if drawn(ProseConfig(weight=0.5, seed=1), "r", one)}
    assert reason(GUIDE, weight=0.0) == "prose_weight"


CLUTTER = {
    "prose.badges": "[![build](https://img.shields.io/x.svg)](https://ci) ![cover](https://img.shields.io/y.svg)\n",
    "prose.comments": "<!-- a comment\nof two lines -->\n",
    "prose.contents": "## Table of Contents\n- [One](#one)\n  1. [Two](#two)\n[TOC]\n.. contents::\n   :depth: 2\n\n",
    "prose.tags": '<p align="center"><img src="logo.png"></p>\n</div>\n',
    "prose.links": "* https://example.org/x\n[docs](https://example.org), [api](https://example.org/api)\n",
}


@pytest.mark.parametrize("name", CLUTTER)
def test_clutter_is_removed_and_counted(name):
    one = document(GUIDE.replace("\n\nEvery", f"\n\n{CLUTTER[name]}\nEvery"))
    make_cleaner(ProseConfig())(one)
    assert one.content.decode() == GUIDE and one.tags == {"kind": "prose"}
    assert set(one.counts) == {name}
    untouched = document(CLUTTER[name])
    make_cleaner(ProseConfig(clean=False))(untouched)
    assert untouched.content.decode() == CLUTTER[name]


@pytest.mark.parametrize(
    "line",
    ["See [the guide](https://example.org) first.", "- [One](#one) is about two things", "Contents of the box",
     "a < b > c", "![picture](x.png) of a cat", "<b>Note</b>: this is text"],
)  # fmt: skip
def test_lines_that_stay(line):
    assert cleaned(f"{line}\n") == f"{line}\n"


def test_code_blocks_stay_as_they_are():
    code = "~~~~md\n<!-- x -->\n[TOC]\n```\n- https://example.org\n\n\n\n~~~~\n"
    text = f"Text.\n\n{code}\nMore <!-- gone -->text.\n"
    assert cleaned(text).replace("More text.", "") == f"Text.\n\n{code}\n\n"
    assert [is_code for is_code, piece in blocks(text) if piece] == [False, True, False]


@given(st.text(alphabet="`~<!->a \n#[](x)|.", max_size=200))
def test_any_text(text):
    assert "".join(piece for _, piece in blocks(text)) == text
    once = cleaned(text)
    assert len(once) <= len(text)
    reason(text, min_words=0)


def slow_duplicate_share(words, n):
    """Characters of words inside n-grams that stood there before."""
    seen, marked = set(), set()
    for at in range(len(words) - n + 1):
        gram = tuple(words[at : at + n])
        if gram in seen:
            marked.update(range(at, at + n))
        seen.add(gram)
    return sum(len(words[at]) for at in marked)


@pytest.mark.parametrize("seed", range(5))
def test_ngrams_equal_a_slow_count(seed):
    words = random.Random(seed).choices(["a", "bb", "ccc", "dddd"], k=80)
    codes = {word: number for number, word in enumerate(dict.fromkeys(words))}
    ids, lengths = np.array([codes[one] for one in words], np.uint64), np.array([len(one) for one in words])
    for n in DUPLICATE:
        assert _duplicate_share(ids, lengths, n) == slow_duplicate_share(words, n)
    for n in TOP:
        grams = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
        most = max(grams.values())
        assert _top_share(ids, lengths, n) in {
            most * sum(map(len, one)) for one, count in grams.items() if count == most
        }


def test_repetition_by_lines_paragraphs_and_phrases():
    rng = random.Random(3)
    fresh = [" ".join(rng.choices([f"word{number}" for number in range(5000)], k=9)) for _ in range(60)]

    def repetitive(lines):
        return is_repetitive("\n".join(lines), " ".join(lines).split())

    assert not repetitive(fresh)
    assert repetitive(fresh[:30] + ["the same line again"] * 30)
    assert repetitive([f"{line} if it is not what you want then" for line in fresh])  # an 8-gram in every line


def test_long_passages_have_a_lower_limit_than_short_ones():
    fresh = [f"word{number}" for number in range(1000)]
    passage = fresh[:130]  # 12 % of what follows: above the limit of 10-grams, below that of 5-grams
    assert is_repetitive(" ".join(fresh + passage), fresh + passage)
    phrases = [word for at in range(0, 130, 6) for word in (*fresh[at : at + 6], f"x{at}", f"y{at}")]
    assert not is_repetitive(" ".join(fresh + phrases), fresh + phrases)


ROW = {
    "title": "How do I sort?",
    "question": "<p>I have a <code>list</code>.</p>\n<pre><code>x = [2, 1] &lt; y\n</code></pre>",
    "answers": [
        {"text": "Use sorted.", "score": 3},
        {"text": "<p>No idea</p>", "score": -1},
        {"text": "x.sort()", "score": 9},
    ],
}


def test_questions_and_answers():
    assert is_question(ROW) and not is_question({"text": "x"}) and not is_question({"question": "x"})
    expected = (
        "# How do I sort?\n\n## Question\n\nI have a `list`.\n\n```\nx = [2, 1] < y\n```\n\n"
        "## Answer 1\n\nx.sort()\n\n## Answer 2\n\nUse sorted.\n"
    )
    assert question_text(ROW, ProseConfig()) == expected
    assert question_text(ROW, ProseConfig(max_answers=1)).endswith("## Answer\n\nx.sort()\n")
    with pytest.raises(Dropped, match="prose_no_answer"):
        question_text(ROW, ProseConfig(min_score=10))
    plain = question_text({"question": "Why?", "answers": ["Because."]}, ProseConfig())
    assert plain == "# Question\n\nWhy?\n\n## Answer\n\nBecause.\n"


def test_config():
    assert not list(ProseConfig().problems("prose"))
    assert len(list(ProseConfig(weight=2.0, repetition=-1.0, max_answers=0).problems("prose"))) == 3
