"""What `aixmeg data show` and `aixmeg data build` print."""

from __future__ import annotations

import io
import json
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from aixmeg.config.sfim import SfimConfig
from aixmeg.data.command import build, show
from aixmeg.data.show import choose_indices, show_examples
from aixmeg.errors import UserError

BODY = Path(sysconfig.get_paths()["stdlib"], "textwrap.py").read_bytes()


@pytest.fixture
def built(make_config):
    """Eighty copies of a module of 500 lines, in two repositories, with every objective and form."""
    files = {f"file-{i}.py": BODY + f"\n# {i}\n".encode() for i in range(40)}
    config = make_config({"one": files, "two": files}, fim_share=0.3, valid_share=0.1)
    build(config)
    return config


def printed(config, tok, *, terminal: bool = False, **options) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=100, color_system="truecolor" if terminal else None
    )
    settings = {"split": "train", "count": 1, "index": None, "raw": False} | options
    show_examples(console, config.paths.at("data"), tok, **settings)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def first_of(config, **values: int) -> int:
    rows = np.load(config.paths.at("data") / "train.examples.npy")
    return int(np.flatnonzero(np.all([rows[name] == value for name, value in values.items()], axis=0))[0])


@pytest.mark.parametrize(("mode", "order"), [(1, ["PREFIX", "SUFFIX", "MIDDLE"]), (2, ["SUFFIX", "PREFIX", "MIDDLE"])])
def test_parts_and_marks_stand_in_the_models_order(built, tok, mode, order):
    index = first_of(built, objective=2, mode=mode)
    text = printed(built, tok, index=index)
    places = [text.index(f"⟦{name}⟧") for name in order]
    assert places == sorted(places)
    lines = (built.paths.at("data") / "train.files.jsonl").read_bytes().splitlines()
    source = json.loads(lines[index])
    assert (
        f"sfim · {'psm' if mode == 1 else 'spm'} · {source['strategy'].replace('_', ' ')} · {source['kind']} · "
        f"{source['repository']}/{source['path']} · " in text
    )
    assert f"the file path is: {source['path']}\n" in text
    for piece in ("<s>", "</s>", "▁<AIX-SPAN-PRE>", "▁<AIX-SPAN-POST>", "▁<AIX-SPAN-MIDDLE>"):
        assert text.count(piece) == 1
    middle = BODY[source["start"] : source["end"]].decode()
    if middle.count("\n") < 40:
        assert f"⟦MIDDLE⟧{middle}</s>" in text
    assert " lines …" in text
    assert len(text.splitlines()) < 90  # of 500
    assert "\x1b" not in text  # no colour codes in a pipe


def test_a_terminal_gets_colours(built, tok):
    text = printed(built, tok, terminal=True, index=first_of(built, objective=2, mode=1))
    codes = {name: text.split(f"⟦{name}⟧")[0].rsplit("\x1b[", 1)[1] for name in ("PREFIX", "SUFFIX", "MIDDLE")}
    assert len(set(codes.values())) == 3


def test_ntp_and_raw(built, tok):
    text = printed(built, tok, index=first_of(built, objective=0))
    assert "· ntp ·" in text
    assert "⟦TEXT⟧" in text
    assert "⟦MIDDLE⟧" not in text
    raw = printed(built, tok, index=first_of(built, objective=1), raw=True)
    assert "fim · psm · random · " in raw or "fim · spm · random · " in raw
    assert " ids … " in raw
    assert "·▁the·" in raw or "▁t·" in raw


def test_control_characters_do_not_reach_the_terminal(make_config, tok):
    evil = b"x = '\x1b[2J\x07'\r\n" * 4
    config = make_config({"\x1b[31m": {"a.py": evil}, "b": {"b.py": evil}}, valid_share=0.0, ntp_share=1.0)
    build(config)
    text = printed(config, tok, count=2)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "␛[2J␇'␍" in text


def test_spread_and_ranges():
    same = np.ones(100, np.uint8)
    assert choose_indices(same, count=4, index=None) == [12, 37, 62, 87]
    assert choose_indices(same[:2], count=5, index=None) == [0, 1]
    assert choose_indices(same[:10], count=3, index=8) == [8, 9]
    mixed = np.array([0, 0, 0, 1, 2] * 20, np.uint8)
    chosen = choose_indices(mixed, count=4, index=None)
    assert mixed[chosen].tolist() == [1, 2, 0, 1]
    assert np.abs(np.array(chosen) - [12, 37, 62, 87]).max() <= 3
    with pytest.raises(UserError, match="--index 10 is outside the split's 10 examples; choose 0 to 9"):
        choose_indices(same[:10], count=1, index=10)
    with pytest.raises(UserError, match="--count 0"):
        choose_indices(same, count=0, index=None)


def test_refusals(built, capsys):
    show(built, count=1, split="valid")
    title = capsys.readouterr().out.splitlines()[2]
    assert title.startswith("valid ")
    assert " of 40 · " in title
    assert "fim · psm · " in title
    summary = built.paths.at("data") / "data.json"
    content = json.loads(summary.read_text())
    summary.write_text(json.dumps(content | {"tokenizer_sha256": "0" * 64}))
    with pytest.raises(UserError, match="built with another tokenizer"):
        show(built, count=1, split="train")
    summary.write_text(json.dumps({name: value for name, value in content.items() if name != "valid"}))
    with pytest.raises(UserError, match="built without a valid split"):
        show(built, count=1, split="valid")
    summary.unlink()
    with pytest.raises(UserError, match=r"has no data\.json; build it with `aixmeg data build`"):
        show(built, count=1, split="train")


def test_build_prints_its_totals(make_config, capsys):
    files = {f"file-{i}.py": BODY for i in range(12)} | {"x.py": b"x"}
    sfim = SfimConfig(without_tree="ntp")
    config = make_config({"one": files, "two": {"a.c": b"int x = 1234;\n"}}, ntp_share=0.0, sfim=sfim)
    summary = build(config)
    train = summary["train"]
    text = capsys.readouterr().out
    assert f"13 training examples from 1 repository: {train['tokens']:,} tokens, " in text
    assert f"{train['bytes_per_token']:.2f} bytes per token" in text
    assert "1 held-out example from 1 repository: " in text
    assert "without a syntax tree's middle (no_place): 1 file, ntp instead, in python" in text
    assert "most frequent nodes: " in text
    assert "strategies: " in text
