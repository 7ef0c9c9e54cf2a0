"""Example infills: the code around the cursor and what the model put there."""

from __future__ import annotations

from collections.abc import Sequence

from aixmeg.report import numbers
from aixmeg.report.blocks import note, section
from aixmeg.report.load import Run, Tree
from aixmeg.report.markup import Html, tag

_LINES = 14
"""Lines of prefix and of suffix that are shown."""
_CHARACTERS = 3000
_EXAMPLES = 24
_ENDS = {"end": "ended by itself", "length": "cut at the token limit"}


def infills(run: Run, completion: Tree | None) -> Html:
    """The section of examples; `completion` comes first."""
    examples = [completion] if completion else []
    examples += [example for example in run.infills.content or [] if example != completion]
    if not examples:
        return section("infills", "Example infills", note(run.infills.missing or "No infill has been generated yet."))
    cards = [_card(example) for example in examples[:_EXAMPLES]]
    lede = (
        "The model sees the code before and after the gap; the marked text is what it wrote there, always taking the "
        "likeliest token."
    )
    left = len(examples) - len(cards)
    rest = note(f"{numbers.plural(left, 'more example')} in infills.json.") if left > 0 else None
    return section("infills", "Example infills", tag("div", *cards, class_="infills"), rest, lede=lede)


def _card(example: Tree) -> Html:
    completion, expected = _text(example, "completion"), _text(example, "expected")
    prefix, above = _end(_text(example, "prefix"))
    suffix, below = _beginning(_text(example, "suffix"))
    shown, more = _beginning(completion, lines=60)
    code = tag(
        "pre", tag("span", above, class_="cut") if above else None, tag("span", prefix, class_="around"),
        tag("mark", shown or "(nothing)"), tag("span", f"{more}\n", class_="cut") if more else None,
        tag("span", suffix, class_="around"), tag("span", below, class_="cut") if below else None,
        tabindex="0", aria_label="Code with the model's text marked",
    )  # fmt: skip
    head = _head(example, completion, expected)
    return tag("article", head, code, _expected(completion, expected), class_="card infill")


def _head(example: Tree, completion: str, expected: str) -> Html:
    badges = [tag("span", text, class_="badge") for text in (_text(example, "language"), _mode(example)) if text]
    if expected:
        close = completion.strip() == expected.strip()
        verdict = "differs from the file" if not close else "same but for blanks at its ends"
        verdict = "exact match" if completion == expected else verdict
        badges.append(tag("span", verdict, class_="badge good" if close else "badge other"))
    stopped = _text(example, "stopped")
    if stopped:
        badges.append(tag("span", _ENDS.get(stopped, stopped), class_="badge"))
    title = tag("h3", tag("code", _text(example, "path") or "unnamed file"))
    return tag("header", title, tag("div", *badges, class_="badges"))


def _expected(completion: str, expected: str) -> Html:
    if not expected or completion == expected:
        return Html("")
    shown, more = _beginning(expected, lines=60)
    cut = tag("span", more, class_="cut") if more else None
    code = tag("pre", shown, cut, tabindex="0", aria_label="What the file has there")
    return tag("div", tag("p", "The file has", class_="label"), code, class_="expected")


def _mode(example: Tree) -> str:
    mode = _text(example, "mode")
    return mode.upper() if mode.lower() in ("psm", "spm") else mode


def _text(example: Tree, key: str) -> str:
    value = example.get(key)
    return value if isinstance(value, str) else ""


def _end(text: str) -> tuple[str, str]:
    """The last lines, and a remark about what was left out above them."""
    shown = "".join(_split(text)[-_LINES:])[-_CHARACTERS:]
    return shown, _left_out(text, shown, "above")


def _beginning(text: str, lines: int = _LINES) -> tuple[str, str]:
    """The first lines, and a remark about what was left out below them."""
    shown = "".join(_split(text)[:lines])[:_CHARACTERS]
    return shown, _left_out(text, shown, "below")


def _left_out(text: str, shown: str, where: str) -> str:
    if len(shown) == len(text):
        return ""
    lines = text.count("\n") - shown.count("\n")
    amount = numbers.plural(lines, "line") if lines else numbers.plural(len(text) - len(shown), "character")
    if where == "above":
        return f"… {amount} above\n"
    return f"… {amount} below" if shown.endswith("\n") else f"\n… {amount} below"


def _split(text: str) -> Sequence[str]:
    """Lines with their newline; only "\\n" separates them, as in the files."""
    *whole, rest = text.split("\n")
    return [f"{line}\n" for line in whole] + [rest] * bool(rest)
