"""The completion among the lines of its file: coloured on a terminal, marked by `+` in any case."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from aixmeg.generate.source import Surroundings

LINES_AROUND = 8
"""Lines shown above and below the completion."""
_VISIBLE = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}


def show(console: Console, around: Surroundings, completion: str) -> None:
    """Print the file's lines near the cursor with `completion` in place.

    A `+` after the line number marks the lines that hold generated text, so that a pipe loses nothing but colour.
    """
    lines, number = _styled_lines(around, completion)
    width = len(str(number + len(lines)))
    for offset, line in enumerate(lines):
        generated = any(span.style == "generated" for span in line.spans)
        gutter = f"{number + offset:>{width}} {'+' if generated else ' '} "
        for span in line.spans:
            if span.style == "generated":
                line.stylize("bold green", span.start, span.end)
        console.print(Text.assemble((gutter, "dim"), line), soft_wrap=True, highlight=False)


def _styled_lines(around: Surroundings, completion: str) -> tuple[list[Text], int]:
    """The lines to print, and the line number of the first."""
    above = around.prefix.split("\n")
    below = around.suffix.split("\n")
    shown_above, shown_below = above[-LINES_AROUND - 1 :], below[: LINES_AROUND + 1]
    text = Text.assemble(
        (visible("\n".join(shown_above)), "dim"),
        (visible(completion), "generated"),
        (visible("\n".join(shown_below)), "dim"),
    )
    return list(text.split("\n", allow_blank=True)), len(above) - len(shown_above) + 1


def visible(text: str) -> str:
    """Control characters as their symbols: an escape sequence in a file must not reach the terminal."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)
