"""Any text, any language with a grammar, any configuration: no crash, no lost byte, and the promised middle."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from shape_samples import SAMPLES

from aixmeg.config import DataConfig
from aixmeg.config.sfim import STRATEGIES, SfimConfig
from aixmeg.languages import LANGUAGES
from aixmeg.sfim.choose import Choice, choose
from aixmeg.syntax import ERROR, NAMED, ParseLimit, SyntaxTree, parse

GRAMMARS = sorted(name for name, language in LANGUAGES.items() if language.grammar)
LINES = sorted({line + end for s in SAMPLES.values() for line in s.source.split("\n") for end in ("\n", "\r\n", "")})
JUNK = ["é€😀", "\u2028", "\r", "\t", "((((", "}", '"""', "'", "<s>", "\0", "/*", "*/", "#", "▁", "end", "\x0c"]

texts = st.lists(st.one_of(st.sampled_from(LINES), st.sampled_from(JUNK), st.text(max_size=5)), max_size=40).map(
    "".join
)
weights = st.dictionaries(st.sampled_from(STRATEGIES), st.floats(0.1, 5), min_size=1, max_size=6)
configs = st.builds(
    DataConfig,
    ntp_share=st.just(0.0),
    fim_share=st.sampled_from([0.0, 0.3]),
    max_middle_bytes=st.integers(1, 300),
    seed=st.integers(0, 1 << 40),
    epoch=st.integers(0, 9),
    sfim=st.builds(
        SfimConfig,
        strategies=weights,
        min_middle_tokens=st.integers(1, 8),
        max_middle_tokens=st.integers(8, 99),
        without_tree=st.sampled_from(["line", "random", "ntp"]),
    ),
)


@settings(max_examples=500, deadline=None)
@given(text=texts, language=st.sampled_from(GRAMMARS), config=configs)
@example(
    text="\t\t\treturn 1\n\t\t\treturn 1", language="markdown",
    config=DataConfig(
        ntp_share=0.0, fim_share=0.0, max_middle_bytes=1, seed=0,
        sfim=SfimConfig(strategies={"whole_node": 1.0}, min_middle_tokens=1, max_middle_tokens=8),
    ),
)  # fmt: skip
def test_any_text_any_language_any_configuration(text, language, config):
    source = text.encode()
    arguments = {"repository": "r", "path": "p", "language": language, "source": source}
    choice = choose(config, **arguments)
    assert choice == choose(config, **arguments)
    span = choice.span
    if span is None:
        assert (choice.objective, choice.mode) == ("ntp", "none")
        return
    parts = source[: span.start], source[span.start : span.end], source[span.end :]
    assert 0 <= span.start <= span.end <= len(source)
    assert "".join(part.decode() for part in parts) == text
    for offset in (span.start, span.end):
        assert source[max(0, offset - 1) : offset + 1] != b"\r\n"
    assert span.end - span.start <= config.max_middle_bytes
    if choice.objective == "sfim":
        check_promise(parse(LANGUAGES[language], source), choice, config)
    else:
        assert choice.strategy in ("random", "lines")


def check_promise(tree: SyntaxTree, choice: Choice, config: DataConfig) -> None:
    """The middle is what its strategy says."""
    span, name, source = choice.span, choice.strategy, tree.source
    assert span is not None
    assert name in config.sfim.strategies
    start, end, named = tree.start.astype(int), tree.end.astype(int), tree.flags & NAMED != 0
    text = source[span.start : span.end]
    errors = (tree.flags & ERROR != 0) & (end > start)
    assert not (errors & (start < span.end) & (end > span.start)).any()
    if name == "empty":
        assert not text
        assert source[span.end : span.end + 1] in (b"\n", b"\r", b"\t", b" ", b"\x0c", b"\x0b", b"")
        return
    assert config.sfim.min_middle_tokens <= len(text)
    assert text.strip()
    assert text.strip() != source.strip()
    same = named & (start == span.start) & (end == span.end)
    inside = (start < span.start) & (end == span.end)
    if name == "whole_node":
        assert same.any()
    elif name == "node_tail":
        assert inside[named].any()
    elif name == "siblings":
        first, last = np.flatnonzero(named & (start == span.start)), np.flatnonzero(named & (end == span.end))
        assert set(tree.parent[first].tolist()) & set(tree.parent[last].tolist())
    elif name in ("line", "single_line"):
        assert b"\n" not in text
        rest = source[span.end :].split(b"\n")[0]
        assert not rest.strip()
    else:
        assert text == text.strip()  # shapes are trimmed
        if name.endswith("_statement"):
            ends = np.array([len(source[:e].rstrip()) for e in end])
            assert (named & (start == span.start) & (ends == span.end)).any()


def test_hostile_nesting_ends():
    for opening in ("(", "[", "{", "if x:\n", "f(", "<a>", "/*", "begin "):
        for language in ("python", "c++", "javascript", "ruby", "haskell", "html"):
            try:
                choose(
                    DataConfig(ntp_share=0.0, sfim=SfimConfig(strategies=dict.fromkeys(STRATEGIES, 1.0))),
                    repository="r", path="p", language=language, source=(opening * 3000).encode(),
                )  # fmt: skip
            except ParseLimit:
                raise AssertionError("a parser that gives up is a reason, not an error") from None
