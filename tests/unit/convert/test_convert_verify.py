"""The check itself: which text it uses, what it lets pass and what not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_run import GROUPED

from aixmeg.config import Config, PathsConfig
from aixmeg.convert.verify import TOLERANCE, Outputs, check_logits, check_tokenizer, sample_ids
from aixmeg.data.indexed import write_index
from aixmeg.errors import UserError
from aixmeg.tokenizer import CodeTokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer: Path) -> CodeTokenizer:
    return CodeTokenizer.from_folder(tiny_tokenizer)


def write_data(folder: Path, count: int, digest: str) -> Config:
    """Held-out data of `count` tokens 7, and a configuration that points to it."""
    folder.mkdir(exist_ok=True)
    (folder / "valid.bin").write_bytes(np.full(count, 7, "<u2").tobytes())
    write_index(folder / "valid.idx", [count], np.dtype("<u2"))
    (folder / "data.json").write_text(json.dumps({"tokenizer_sha256": digest}), encoding="utf-8")
    return Config(model=GROUPED, paths=PathsConfig(root=folder.parent, data=Path(folder.name)))


@pytest.mark.parametrize(("count", "expected"), [(1000, 256), (100, 100)])
def test_held_out_data_is_preferred(count: int, expected: int, tmp_path: Path, tokenizer: CodeTokenizer) -> None:
    ids, text = sample_ids(write_data(tmp_path / "data", count, tokenizer.sha256), tokenizer)
    assert ids == [7] * expected
    assert "held-out" in text


def test_a_long_context_is_sampled(tmp_path: Path, tokenizer: CodeTokenizer) -> None:
    config = write_data(tmp_path / "data", 10_000, tokenizer.sha256)
    config = dataclasses.replace(config, model=dataclasses.replace(GROUPED, seq_length=4096))
    assert len(sample_ids(config, tokenizer)[0]) == 512


@pytest.mark.parametrize("damage", ["none", "digest", "empty", "cut", "json"])
def test_source_of_python_otherwise(damage: str, tmp_path: Path, tokenizer: CodeTokenizer) -> None:
    data = tmp_path / "data"
    config = write_data(data, 0 if damage == "empty" else 1000, "other" if damage == "digest" else tokenizer.sha256)
    if damage == "none":
        (data / "valid.idx").unlink()
    elif damage == "cut":
        (data / "valid.bin").write_bytes(b"12")
    elif damage == "json":
        (data / "data.json").write_text("[]", encoding="utf-8")
    ids, text = sample_ids(config, tokenizer)
    assert "inspect" in text
    assert len(ids) == 256
    assert tokenizer.decode(ids[1:]).startswith('"""Get useful information')
    assert ids[0] == tokenizer.bos


def outputs(change: float = 0.0, at: tuple[int, int] = (3, 5)) -> Outputs:
    logits = torch.linspace(-9, 9, 80).view(8, 10).clone()
    logits[at] += change
    return Outputs(logits, torch.stack([torch.full((8, 4), float(layer) + change) for layer in range(2)]))


def test_differences_below_the_tolerance_pass() -> None:
    found = check_logits(outputs(), outputs(5e-5), text="a text")
    assert found.largest_difference == pytest.approx(5e-5, rel=0.05)  # fp32 spacing near 0.6 is 6e-8
    assert (found.position, found.tokens, found.text) == (3, 8, "a text")


def test_above_logits_of_nine_the_tolerance_grows_with_them() -> None:
    """Rounding does."""
    native, near, far = (Outputs(100 * one.logits, one.layers)
                         for one in (outputs(), outputs(0.9 * TOLERANCE), outputs(1.2 * TOLERANCE)))  # fmt: skip
    # At 60 fp32 numbers are 4e-6 apart, and the difference is 9e-3.
    assert check_logits(native, near, text="").largest_difference == pytest.approx(90 * TOLERANCE, rel=0.01)
    with pytest.raises(UserError, match=r"off by 0\.012, more than 0\.01;"):
        check_logits(native, far, text="")


@pytest.mark.parametrize("change", [2 * TOLERANCE, -1.0, float("nan"), float("inf")])
def test_larger_ones_and_nan_fail(change: float) -> None:
    for pair in ((outputs(), outputs(change)), (outputs(change), outputs())):
        with pytest.raises(UserError, match=r"position 3 of 8 \(a text\) is off by .*0: .*, 1: "):
            check_logits(*pair, text="a text")


def test_special_pieces_must_have_the_runs_ids(tmp_path: Path, tiny_tokenizer: Path, tokenizer: CodeTokenizer) -> None:
    content = (tiny_tokenizer / "tokenizer.json").read_text(encoding="utf-8")
    swapped = content.replace("AIX-SPAN-PRE", "AIX-X").replace("AIX-SPAN-POST", "AIX-SPAN-PRE")
    (tmp_path / "tokenizer.json").write_text(swapped.replace("AIX-X", "AIX-SPAN-POST"), encoding="utf-8")
    config = (tiny_tokenizer / "tokenizer_config.json").read_text(encoding="utf-8")
    swapped = config.replace("AIX-SPAN-PRE", "AIX-X").replace("AIX-SPAN-POST", "AIX-SPAN-PRE")
    (tmp_path / "tokenizer_config.json").write_text(swapped.replace("AIX-X", "AIX-SPAN-POST"), encoding="utf-8")
    check_tokenizer(tiny_tokenizer, tokenizer, tokenizer.encode("x"))
    with pytest.raises(UserError, match="other ids to the special pieces"):
        check_tokenizer(tmp_path, tokenizer, tokenizer.encode("x"))
