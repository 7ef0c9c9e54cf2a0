"""A model whose weights come and go part by part computes what it computes with all of them, to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_convert_to_hf import ids_of
from tiny_run import MODELS
from torch import nn
from transformers import LlamaForCausalLM

from aixmeg.convert import verify
from aixmeg.convert.native import open_run, read_run_config, streamed_run_model
from aixmeg.convert.streamed import streamed
from aixmeg.convert.to_hf import convert

Runs = Callable[..., Path]


@pytest.mark.parametrize("name", MODELS)
def test_both_sides_equal_the_whole_model(name: str, runs: Runs, tmp_path: Path) -> None:
    run, ids = runs(name), ids_of(runs(name), 60)
    with open_run(run) as native:
        whole = verify.native_outputs(native.model, ids, device=torch.device("cpu"))
    with streamed_run_model(run, read_run_config(run), None, rounded=torch.float32) as (model, device):
        ours = verify.native_outputs(model, ids, device=device)
    torch.testing.assert_close(ours.logits, whole.logits, rtol=0, atol=0)
    torch.testing.assert_close(ours.layers, whole.layers, rtol=0, atol=0)

    convert(run, tmp_path / "hf")
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "hf").float()  # as anyone would load it
    with torch.no_grad():
        expected = loaded(torch.tensor([ids]), use_cache=False).logits[0]
    torch.testing.assert_close(verify.hf_outputs(tmp_path / "hf", ids).logits, expected, rtol=0, atol=0)


def test_weights_are_rounded(runs: Runs, tmp_path: Path) -> None:
    run, ids = runs("grouped"), ids_of(runs("grouped"), 60)
    convert(run, tmp_path / "fp32", dtype="fp32")
    convert(run, tmp_path / "bf16", dtype="bf16")
    with streamed_run_model(run, read_run_config(run), None, rounded=torch.bfloat16) as (model, device):
        ours = verify.native_outputs(model, ids, device=device)
    found = [
        verify.hf_outputs(tmp_path / "bf16", ids).logits,
        verify.hf_outputs(tmp_path / "fp32", ids, rounded=torch.bfloat16).logits,
    ]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
    torch.testing.assert_close(found[0], ours.logits, rtol=0, atol=verify.TOLERANCE)


class Sum(nn.Module):
    """Two layers and a head; notes how many parameters have weights while each computes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)) for _ in range(2)])
        self.head = nn.Linear(4, 2)
        self.there: list[int] = []
        for part in (*self.layers, self.head):
            part.register_forward_pre_hook(self._note)

    def _note(self, *_: Any) -> None:
        self.there.append(sum(one.numel() for one in self.parameters() if not one.is_meta))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def ones(parameter: nn.Parameter) -> torch.Tensor:
    return torch.ones(parameter.shape)


def test_weights_are_there_while_their_part_computes_and_no_longer() -> None:
    with torch.device("meta"):
        model = Sum()
    before = list(model.parameters())
    for kept, expected in (([], [0, 0, 0]), ([model.layers[0]], [0, 76, 76])):
        model.there.clear()
        with streamed(model, model.layers, ones, kept=kept), torch.no_grad():
            assert model(torch.ones(1, 4)).tolist() == [[5285, 5285]]  # 4·(8·(4·(8·(4 + 1) + 1) + 1) + 1) + 1
        assert model.there == expected
        assert all(one is other for one, other in zip(model.parameters(), before, strict=True))


def test_a_part_that_fails_leaves_nothing_behind() -> None:
    with torch.device("meta"):
        model = Sum()
    with pytest.raises(RuntimeError, match="shapes"), streamed(model, model.layers, ones):
        model(torch.ones(1, 5))
    assert all(one.is_meta for one in model.parameters())
    wrong = streamed(model, model.layers, lambda one: torch.ones(one.shape[0]))
    with pytest.raises(ValueError, match=r"weight of Linear is \[8, 4\], not \[8\]"), wrong:
        model(torch.ones(1, 4))
    assert all(one.is_meta for one in model.parameters())
    with pytest.raises((RuntimeError, NotImplementedError)):  # no hook is left
        model(torch.ones(1, 4)).tolist()
