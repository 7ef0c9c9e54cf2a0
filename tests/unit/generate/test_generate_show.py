"""What is printed: the lines around the cursor, a mark in a pipe, colour on a terminal, no raw control characters."""

from __future__ import annotations

import io

from rich.console import Console

from aixmeg.generate.show import show
from aixmeg.generate.source import Surroundings


def printed(around: Surroundings, completion: str, *, terminal: bool = False) -> str:
    out = io.StringIO()
    show(Console(file=out, force_terminal=terminal, color_system="standard" if terminal else None, width=60),
         around, completion)  # fmt: skip
    return out.getvalue()


def test_plain_lines_carry_numbers_and_marks() -> None:
    around = Surroundings("a = 1\ndef f(x):\n    return ", "\n\nprint(f(1))\n", "")
    assert printed(around, "x + [bold]\n    # done") == (
        "1   a = 1\n2   def f(x):\n3 +     return x + [bold]\n4 +     # done\n5   \n6   print(f(1))\n7   \n"
    )


def test_far_lines_are_not_shown() -> None:
    text = "".join(f"line {i}\n" for i in range(1, 101))
    out = printed(Surroundings(text, text, ""), "new").splitlines()
    assert out[0].split() == ["93", "line", "93"]
    assert out[8].split() == ["101", "+", "newline", "1"]
    assert len(out) == 17


def test_colour_on_a_terminal_only() -> None:
    around = Surroundings("a", "b", "")
    assert "\x1b[1;32mnew\x1b[0m" in printed(around, "new", terminal=True)
    assert "\x1b" not in printed(around, "new")


def test_control_characters_are_shown_as_symbols() -> None:
    around = Surroundings("\x1b[31mred\r\n\x07", "\x7f", "")
    out = printed(around, "\x1b]0;title\x07", terminal=False)
    assert "\x1b" not in out
    assert "\u241b[31mred\n" in out
    assert "\u241b]0;title\u2407" in out


def test_an_empty_completion_marks_nothing() -> None:
    assert "+" not in printed(Surroundings("a\n", "b", ""), "")


def test_long_lines_are_not_wrapped() -> None:
    assert len(printed(Surroundings("x" * 200, "", ""), "y").splitlines()) == 1
