"""CodeBLEU (Ren et al., arXiv 2009.10297): words, words weighted by keywords, syntax and flow of data, a quarter each.

Equal to the `codebleu` package, release 0.7.0, run with the grammars that are used here, but for what
`aixmeg.eval.scores.dataflow` says. Of its rules some surprise: a flow of data that does not match at all counts as if
it matched all, so that nothing written scores 25 %; the syntax part is a recall.
"""

from __future__ import annotations

import io
import math
import re
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aixmeg.eval.scores.bleu import brevity, ngrams, sentence_bleu
from aixmeg.eval.scores.dataflow import flows
from aixmeg.eval.scores.dataflow_rules import RULES
from aixmeg.eval.scores.text import KEYWORDS
from aixmeg.languages import LANGUAGES
from aixmeg.syntax import ERROR, MISSING, NAMED, ParseLimit, SyntaxTree, parse

_ORDER: Final = 4
_EPSILON: Final = 0.1
_OTHER_WORD: Final = 0.2
"""Weight of a word that is no keyword."""
_WANTED_LENGTH: Final = 2
"""Below it a text is too short for the weighted words. The published scorer takes the length of a pair here, of the
reference and its weights, for the length of the reference."""
_COMMENT_OR_STRING: Final = re.compile(r"""//[^\n]*|/\*.*?\*/|'(?:\\.|[^\\'])*'|"(?:\\.|[^\\"])*\"""", re.DOTALL)
_C: Final = """auto break case char const continue default do double else enum extern float for goto if int long
register return short signed sizeof static struct switch typedef union unsigned void volatile while"""
_CPP: Final = """and and_eq asm bitand bitor bool catch class compl const_cast delete dynamic_cast explicit false friend
inline mutable namespace new not not_eq operator or or_eq private protected public reinterpret_cast static_cast template
this throw true try typeid typename using virtual wchar_t xor xor_eq cin cout endl include INT_MAX INT_MIN iomanip
iostream main MAX_RAND npos NULL std string"""
_CSHARP: Final = """add alias ascending async await by descending dynamic equals from get global group into join let
nameof notnull on orderby partial remove select set unmanaged value var when where yield"""
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "python": KEYWORDS["python"] | {"case", "match", "type"},
    "java": KEYWORDS["java"] - {"true", "false", "null"},
    "javascript": KEYWORDS["javascript"] - {"true"} | {"True"},
    "c": frozenset([*_C.split(), "_Packed"]),
    "c++": frozenset([*_C.split(), *_CPP.split()]),
    "c#": KEYWORDS["c#"] | frozenset(_CSHARP.split()),
}
"""What the published scorer takes for keywords."""


@dataclass(frozen=True, kw_only=True)
class CodeBleu:
    """The four parts, each 0 to 1, and the score."""

    words: float
    weighted_words: float
    syntax: float
    dataflow: float

    @property
    def score(self) -> float:
        """0 to 1."""
        return (self.words + self.weighted_words + self.syntax + (self.dataflow or 1.0)) / 4


def code_bleu(completion: str, reference: str, language: str) -> CodeBleu | None:
    """Compare two pieces of code; None for a language without rules for its flow of data, or nothing to compare with.

    Where the parser gives up on the completion (see `aixmeg.syntax.ParseLimit`), its syntax and flow match nothing.
    """
    ours, theirs = completion.strip(), reference.strip()
    if language not in RULES or not theirs:
        return None
    bare = without_comments(ours, language), without_comments(theirs, language)
    try:
        trees = [parse(LANGUAGES[language], text.encode("utf-8", "replace")) for text in bare]
    except ParseLimit:
        syntax = dataflow = 0.0
    else:
        numbers: dict[object, int] = {}
        mine, wanted = (_shapes(tree, numbers) for tree in trees)
        known = set(mine)
        syntax = len([shape for shape in wanted if shape in known]) / len(wanted)
        dataflow = _common(*map(flows, trees))
    return CodeBleu(
        words=sentence_bleu(ours.split(), theirs.split()),
        weighted_words=_weighted(ours.split(), theirs.split(), _WORDS[language]), syntax=syntax, dataflow=dataflow,
    )  # fmt: skip


def _weighted(ours: Sequence[str], theirs: Sequence[str], keywords: frozenset[str]) -> float:
    """BLEU-4's sibling: recalls instead of precisions, the single words weighted."""
    logarithms = []
    for order in range(1, _ORDER + 1):
        wanted, found = ngrams(theirs, order), ngrams(ours, order)
        weight = {gram: 1.0 if order > 1 or gram[0] in keywords else _OTHER_WORD for gram in wanted}
        hits = sum(count * weight[gram] for gram, count in (wanted & found).items())
        total = max(1.0, sum(count * weight[gram] for gram, count in wanted.items()))
        if order == 1 and hits == 0:
            return 0.0
        logarithms.append(math.log((hits or _EPSILON) / total))
    return brevity(len(ours), _WANTED_LENGTH) * math.exp(math.fsum(logarithms) / _ORDER)


def _common(ours: Sequence[object], theirs: Sequence[object]) -> float:
    return (Counter(ours) & Counter(theirs)).total() / len(theirs) if theirs else 0.0


def _shapes(tree: SyntaxTree, numbers: dict[object, int]) -> list[int]:
    """A number for each subtree, the same for subtrees whose named nodes have the same kinds and fields.

    `numbers` grows, and is shared by the trees that are compared.
    """
    parents, flags = tree.parent.tolist(), tree.flags.tolist()
    inside: list[list[tuple[str, int]]] = [[] for _ in parents]  # named children, the last one first
    has_children = [False] * len(parents)
    shapes: list[int] = []
    for node in range(len(parents) - 1, -1, -1):  # children stand behind their parents
        parent, visible = parents[node], flags[node] & (NAMED | MISSING)
        stray = tree.source[tree.start[node] :][:1] if flags[node] & ERROR and not has_children[node] else b""
        key = tree.kinds[tree.kind[node]], visible, stray, tuple(inside[node])
        shape = numbers.setdefault(key, len(numbers))
        if has_children[node] or parent < 0:
            shapes.append(shape)
        if parent >= 0:
            has_children[parent] = True
            inside[parent].extend([(tree.fields[tree.field[node]], shape)] if visible else inside[node])
    return shapes


def without_comments(code: str, language: str) -> str:
    """Code without comments and blank lines, in Python without documentation strings too; Python that the standard
    library's tokenizer refuses, as pieces of code often are, stays as it is."""
    if language != "python":
        bare = _COMMENT_OR_STRING.sub(lambda found: " " if found[0].startswith("/") else found[0], code)
    else:
        try:
            bare = _without_comments_in_python(code)
        except (tokenize.TokenError, SyntaxError, ValueError):
            return code
    return "\n".join(line for line in bare.split("\n") if line.strip())


def _without_comments_in_python(code: str) -> str:
    """All tokens in their columns but comments, and strings where a statement begins."""
    parts: list[str] = []
    line, column, before = 0, 0, tokenize.INDENT
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        row, start = token.start
        parts.append(" " * (start - (column if row <= line else 0)))
        begins = before in (tokenize.INDENT, tokenize.NEWLINE) or start == 0
        if token.type != tokenize.COMMENT and not (token.type == tokenize.STRING and begins):
            parts.append(token.string)
        (line, column), before = token.end, token.type
    return "".join(parts)
