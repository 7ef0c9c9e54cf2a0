"""Prompts: the training form when everything fits, whole lines next to the cursor when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from aixmeg.errors import UserError
from aixmeg.generate.context import build_prompt
from aixmeg.generate.source import Surroundings, from_cursor
from aixmeg.tokenizer import CodeTokenizer

HEADER = "# the file path is: a.py\n# the code file is written by Python\n"
ABOVE = "".join(f"first_{i} = {i}\n" for i in range(300))
BELOW = "".join(f"last_{i} = {i}\n" for i in range(300))


def parts(tokenizer: CodeTokenizer, ids: list[int]) -> tuple[str, str, str]:
    """(before POST, between POST and MIDDLE, after MIDDLE) as text."""
    post, middle = ids.index(tokenizer.special.suffix), ids.index(tokenizer.special.middle)
    assert ids[:2] == [tokenizer.bos, tokenizer.special.prefix]
    return tuple(map(tokenizer.decode, (ids[2:post], ids[post + 1 : middle], ids[middle + 1 :])))


def test_psm_and_spm_when_everything_fits(tokenizer: CodeTokenizer) -> None:
    around = Surroundings("def f(", "):\n    pass\n", HEADER)
    psm = build_prompt(tokenizer, around, mode="psm", context=512, max_new_tokens=16)
    assert parts(tokenizer, psm.ids) == (HEADER + "def f(", "):\n    pass\n", "")
    spm = build_prompt(tokenizer, around, mode="spm", context=512, max_new_tokens=16)
    assert parts(tokenizer, spm.ids) == ("", "):\n    pass\n", HEADER + "def f(")
    assert psm.note == spm.note == ""


def test_literal_control_pieces_are_text(tokenizer: CodeTokenizer, tmp_path: Path) -> None:
    spelled = "a = '<s></s>\u2581<AIX-SPAN-PRE><unk>\u2581<AIX-SPAN-MIDDLE><0x0A>'\n"
    file = tmp_path / "<s>.txt"
    file.write_text(spelled * 2, encoding="utf-8")
    for mode in ("psm", "spm"):
        ids = build_prompt(tokenizer, from_cursor(file, "2:1"), mode=mode, context=512, max_new_tokens=16).ids
        assert sorted(i for i in ids if tokenizer.is_control(i)) == sorted(
            [tokenizer.bos, tokenizer.special.prefix, tokenizer.special.suffix, tokenizer.special.middle]
        )
        before, suffix, after = parts(tokenizer, ids)
        assert (before + after, suffix) == (spelled, spelled)


@pytest.mark.parametrize("mode", ["psm", "spm"])
def test_far_lines_are_dropped(mode: str, tokenizer: CodeTokenizer) -> None:
    around = Surroundings(ABOVE + "here = ", BELOW, HEADER)
    prompt = build_prompt(tokenizer, around, mode=mode, context=512, max_new_tokens=32)
    assert 512 - 32 - 20 < len(prompt.ids) <= 512 - 32
    before, suffix, after = parts(tokenizer, prompt.ids)
    prefix = before + after
    assert prefix.startswith(HEADER)
    assert (ABOVE + "here = ").endswith("\n" + prefix.removeprefix(HEADER))  # whole lines, up to the cursor
    assert BELOW.startswith(suffix)
    assert suffix.endswith("\n")
    assert prompt.dropped_above == 301 - prefix.removeprefix(HEADER).count("\n") - 1
    assert prompt.dropped_below == 300 - suffix.count("\n")
    assert f"{prompt.dropped_above} lines at its start and {prompt.dropped_below} at its end" in prompt.note
    assert len(tokenizer.encode(suffix)) < len(tokenizer.encode(prefix))


@pytest.mark.parametrize(("prefix", "suffix"), [("x = ", BELOW), (ABOVE, "\n"), ("", BELOW), (ABOVE, "")])
def test_a_short_side_leaves_its_room_to_the_other(prefix: str, suffix: str, tokenizer: CodeTokenizer) -> None:
    prompt = build_prompt(tokenizer, Surroundings(prefix, suffix, ""), mode="psm", context=512, max_new_tokens=32)
    assert len(prompt.ids) > 512 - 32 - 20
    before, kept, _ = parts(tokenizer, prompt.ids)
    assert before == prefix or len(prefix) > 100
    assert kept == suffix or len(suffix) > 100


def test_a_line_longer_than_the_context_is_cut_next_to_the_cursor(tokenizer: CodeTokenizer) -> None:
    line = "".join(f"é{i}," for i in range(2000))
    prompt = build_prompt(tokenizer, Surroundings(line, line, ""), mode="psm", context=256, max_new_tokens=32)
    before, suffix, _ = parts(tokenizer, prompt.ids)
    assert before
    assert suffix
    assert line.endswith(before)
    assert line.startswith(suffix)
    assert len(prompt.ids) > 256 - 32 - 8
    assert prompt.dropped_above == prompt.dropped_below == 1


def test_a_huge_file_is_not_encoded_whole(tokenizer: CodeTokenizer) -> None:
    huge = "x = 1\n" * 3_000_000
    prompt = build_prompt(tokenizer, Surroundings(huge, huge, ""), mode="psm", context=256, max_new_tokens=32)
    assert len(prompt.ids) <= 256 - 32


@pytest.mark.parametrize("max_new_tokens", [500, 512, 4000])
def test_no_room_for_a_prompt(max_new_tokens: int, tokenizer: CodeTokenizer) -> None:
    with pytest.raises(UserError, match=rf"max_new_tokens={max_new_tokens} .*512 tokens.*choose at most \d+"):
        build_prompt(
            tokenizer, Surroundings(ABOVE, BELOW, HEADER), mode="psm", context=512, max_new_tokens=max_new_tokens
        )
