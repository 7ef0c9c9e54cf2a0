"""Scorers of completions: exact match, edit similarity, BLEU-4, CodeBLEU, identifiers, pass@k, confidence intervals."""

from aixmeg.eval.scores.bleu import corpus_bleu, sentence_bleu
from aixmeg.eval.scores.codebleu import CodeBleu, code_bleu
from aixmeg.eval.scores.statistics import Interval, bootstrap, pass_at_k
from aixmeg.eval.scores.text import edit_similarity, exact_match, identifiers, lines_match

__all__ = ["CodeBleu", "Interval", "bootstrap", "code_bleu", "corpus_bleu", "edit_similarity", "exact_match",
           "identifiers", "lines_match", "pass_at_k", "sentence_bleu"]  # fmt: skip
