"""Forms of examples and prompts, and taking them apart again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aixmeg.sfim.format import Example, Parts, infill_example, ntp_example, psm_prompt, spm_prompt, undo
from aixmeg.tokenizer.code_tokenizer import CodeTokenizer

HEADER = "# the file path is: a/b.py\n# the code file is written by Python\n"
NAMES = ["<s>", "</s>", "<unk>", "▁<AIX-SPAN-PRE>", "▁<AIX-SPAN-POST>", "▁<AIX-SPAN-MIDDLE>", "<0x0A>", "▁", "\u2028"]


@pytest.fixture(scope="module")
def tok(tiny_tokenizer) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny_tokenizer)


def infilled(tok, mode, *, first: bool = True, **texts: str) -> Example:
    parts = {name: np.array(tok.encode(text), np.int32) for name, text in texts.items()}
    return infill_example(tok, mode, first=first, **parts)


def plain(tok, text: str, **ends: bool) -> Example:
    return ntp_example(tok, text=np.array(tok.encode(HEADER) + tok.encode(text), np.int32), **ends)


def test_the_three_forms(tok):
    texts = {"header": HEADER, "prefix": "\n\nif a", "middle": " > 1", "suffix": ":\n"}
    h, p, m, s = (tok.encode(text) for text in texts.values())
    assert tok.encode(HEADER + "\n\nif a") != h + p  # so that encoding both together would show below
    parts: dict[str, Any] = {name: texts[name] for name in ("header", "prefix", "suffix")}
    pre, post, mid = tok.special.prefix, tok.special.suffix, tok.special.middle
    psm = infilled(tok, "psm", middle=" > 1", **parts)
    assert psm.ids.tolist() == [1, pre, *h, *p, post, *s, mid, *m, 2]
    spm = infilled(tok, "spm", middle=" > 1", **parts)
    assert spm.ids.tolist() == [1, pre, post, *s, mid, *h, *p, *m, 2]
    for example, prompt in ((psm, psm_prompt(tok, **parts)), (spm, spm_prompt(tok, **parts))):
        assert example.ids[example.middle_offset :][: example.middle_length].tolist() == m
        assert example.ids[: example.middle_offset].tolist() == prompt
    ntp = plain(tok, "if a > 1:\n")
    assert (ntp.ids.tolist(), ntp.middle_offset, ntp.middle_length) == ([1, *h, *tok.encode("if a > 1:\n"), 2], -1, 0)


spelled = st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=8))).map("".join)


@settings(max_examples=300, deadline=None)
@given(header=st.sampled_from(["", HEADER]), prefix=spelled, middle=spelled, suffix=spelled)
def test_undo_recovers_every_part(tok, header, prefix, middle, suffix):
    expected = Parts(header.encode(), prefix.encode(), middle.encode(), suffix.encode())
    control = {tok.bos, tok.eos, tok.special.prefix, tok.special.suffix, tok.special.middle}
    for mode in ("psm", "spm"):
        example = infilled(tok, mode, header=header, prefix=prefix, middle=middle, suffix=suffix)
        assert undo(example.ids, tok, header=header, middle_offset=example.middle_offset) == expected
        # Whatever the text spells: exactly the five marks of the form.
        assert sum(tok.is_control(token) for token in example.ids) == len(control)
        later = infilled(tok, mode, header=header, prefix=prefix, middle=middle, suffix=suffix, first=False)
        assert later.ids.tolist() == example.ids[1:].tolist()
        assert undo(later.ids, tok, header=header, middle_offset=later.middle_offset, first=False) == expected
    text = np.array(tok.encode(header) + tok.encode(prefix + middle + suffix), np.int32)
    ntp = ntp_example(tok, text=text)
    assert undo(ntp.ids, tok, header=header).file == expected.file
    front = np.array(tok.encode(header) + tok.encode(prefix + middle + suffix + "\n"), np.int32)
    for first in (True, False):
        ids = ntp_example(tok, text=front, first=first, last=False).ids
        assert undo(ids, tok, header=header, first=first, last=False).file == expected.file
    assert sum(tok.is_control(token) for token in ntp.ids) == 2


def test_undo_refuses_what_is_no_example(tok):
    example = infilled(tok, "psm", header=HEADER, prefix="a", middle="b", suffix="c")
    with pytest.raises(ValueError, match="these .* ids do not"):
        undo(example.ids[:-1], tok, header=HEADER, middle_offset=example.middle_offset)
    with pytest.raises(ValueError, match="does not begin with the header"):
        undo(example.ids, tok, header="// other\n", middle_offset=example.middle_offset)
    with pytest.raises(ValueError, match="not the prefix piece"):
        undo([1, *example.ids[2:]], tok, header=HEADER, middle_offset=example.middle_offset - 1)
    with pytest.raises(ValueError, match="does not end with"):
        undo(plain(tok, "a", last=False).ids, tok, header=HEADER, last=False)
    with pytest.raises(ValueError):  # an infilling example taken for NTP
        undo(example.ids, tok, header=HEADER)
