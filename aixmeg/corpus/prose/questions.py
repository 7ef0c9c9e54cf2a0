"""Questions and answers → one Markdown document: the question, then its answers by score."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from aixmeg.config.corpus import ProseConfig
from aixmeg.corpus.reasons import Dropped

_QUESTION: Final = ("question", "question_body", "body", "Body")
_TITLE: Final = ("title", "question_title", "Title")
_TEXT: Final = ("text", "body", "answer", "content", "Body")
_SCORE: Final = ("score", "pm_score", "votes", "Score")
_CODE: Final = re.compile(r"<pre[^>]*>\s*(?:<code[^>]*>)?(.*?)(?:</code>)?\s*</pre>", re.DOTALL | re.IGNORECASE)
_BREAK: Final = re.compile(r"</?(?:p|div|br|h\d|ul|ol|blockquote|tr)[^>]*>", re.IGNORECASE)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>")


def is_question(row: Mapping[str, Any]) -> bool:
    """Whether a row of a table is a question with a list of answers."""
    return _first(row, _QUESTION) is not None and isinstance(row.get("answers"), list)


def question_columns(present: Collection[str]) -> list[str]:
    """The columns of a table that `question_text` reads; none where they are not those of a table of questions."""
    if "answers" not in present or not any(name in present for name in _QUESTION):
        return []
    return ["answers", *(name for name in dict.fromkeys((*_QUESTION, *_TITLE)) if name in present)]


def question_text(row: Mapping[str, Any], config: ProseConfig) -> str:
    """The document of a row.

    Args:
        row: `question` (text, Markdown or HTML), `title` (optional), `answers`: texts, or objects with `text` (or body,
            answer, content) and `score`; an answer without a score counts as one that is good enough.
        config: `min_score` and `max_answers`.

    Raises:
        Dropped: prose_no_answer: there is no answer of that score.
    """
    found = [one for position, answer in enumerate(row.get("answers") or ()) if (one := _answer(answer, position))]
    good = sorted((one for one in found if one[0] is None or one[0] >= config.min_score), key=_by_score)
    if not good:
        raise Dropped("prose_no_answer")
    title, question = _first(row, _TITLE), _markdown(_first(row, _QUESTION) or "")
    parts = [f"# {_markdown(title)}"] if title else []
    parts += ["## Question" if title else "# Question", question]
    for number, (_, _, text) in enumerate(good[: config.max_answers], start=1):
        parts += [f"## Answer {number}" if len(good) > 1 and config.max_answers > 1 else "## Answer", text]
    return "\n\n".join(parts) + "\n"


def _answer(answer: Any, position: int) -> tuple[float | None, int, str] | None:
    """(score, position, text), or None if it has no text."""
    if isinstance(answer, str):
        return (None, position, _markdown(answer)) if answer.strip() else None
    if not isinstance(answer, Mapping):
        return None
    text = _first(answer, _TEXT)
    score = next((answer[name] for name in _SCORE if isinstance(answer.get(name), int | float)), None)
    return (score, position, _markdown(text)) if text else None


def _by_score(answer: tuple[float | None, int, str]) -> tuple[float, int]:
    """The highest score first, then the order of the row; one without a score as if it had 0."""
    return -(answer[0] or 0.0), answer[1]


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((row[name] for name in names if isinstance(row.get(name), str) and row[name].strip()), None)


def _markdown(text: str) -> str:
    """HTML as question sites export it → Markdown; other text as it is."""
    if not re.search(r"</(?:p|pre|code|a|li)>", text):
        return text.strip()
    codes: list[str] = []

    def hide(match: re.Match[str]) -> str:
        codes.append("\n\n```\n" + html.unescape(match[1]).strip("\n") + "\n```\n\n")
        return f"\0{len(codes) - 1}\0"

    text = _CODE.sub(hide, text.replace("\0", ""))
    text = re.sub(r"<code>(.*?)</code>", r"`\1`", text, flags=re.DOTALL)
    text = re.sub(r"<li>\s*", "\n- ", text)
    text = html.unescape(_TAG.sub("", _BREAK.sub("\n\n", text)))
    text = re.sub(r"\0(\d+)\0", lambda match: codes[int(match[1])], text.replace("\r\n", "\n"))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
