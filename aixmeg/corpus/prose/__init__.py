"""Natural-language documents: recognition, cleaning, rules of quality, questions and answers, share of the corpus."""

from aixmeg.corpus.prose.names import PROSE_LANGUAGES
from aixmeg.corpus.prose.questions import is_question, question_columns, question_text
from aixmeg.corpus.prose.step import is_prose, make_cleaner, make_step

__all__ = [
    "PROSE_LANGUAGES", "is_prose", "is_question", "make_cleaner", "make_step", "question_columns", "question_text",
]  # fmt: skip
