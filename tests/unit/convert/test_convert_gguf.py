"""GGUF files, read back by the gguf package's own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_run import MODELS

from aixmeg.convert import gguf_file
from aixmeg.convert.native import read_run_config
from aixmeg.convert.to_hf import convert as to_hf
from aixmeg.convert.weights import SafetensorsFolder
from aixmeg.errors import UserError
from aixmeg.tokenizer import CodeTokenizer

Runs = Callable[..., Path]


def read(file: Path) -> Any:
    gguf = pytest.importorskip("gguf", reason="the gguf package is an extra: aixmeg[gguf]")
    return gguf.GGUFReader(file)


def values(tensor: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor of the reader in fp32; it gives bf16 as bytes."""
    data = np.ascontiguousarray(tensor.data)
    if tensor.tensor_type.name == "BF16":
        return torch.from_numpy(data.view(np.uint8).copy()).view(torch.bfloat16).float().reshape(shape)
    return torch.from_numpy(data.astype(np.float32)).reshape(shape)


@pytest.mark.parametrize(("name", "dtype"), [("grouped", "bf16"), ("tied", "f16"), ("multi_query_wide", "fp32")])
def test_the_reader_finds_the_same_weights(name: str, dtype: Any, runs: Runs, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the gguf package is an extra: aixmeg[gguf]")
    run = runs(name)
    found = read(gguf_file.convert(run, tmp_path / "deep" / "model.gguf", dtype=dtype))
    to_hf(run, tmp_path / "hf")
    expected, model = SafetensorsFolder(tmp_path / "hf"), read_run_config(run).model
    tensors = {tensor.name: tensor for tensor in found.tensors}
    assert set(tensors) == {gguf_file.gguf_name(weight) for weight in expected}
    stored = {"bf16": torch.bfloat16, "f16": torch.float16, "fp32": torch.float32}[dtype]
    for weight in expected:
        theirs = expected[weight]
        ours = values(tensors[gguf_file.gguf_name(weight)], tuple(theirs.shape))
        if weight.endswith(("q_proj.weight", "k_proj.weight")):
            half = model.head_size // 2
            # Row 2i of a head was row i, row 2i + 1 was row i of its second half.
            order = [head * 2 * half + part * half + i for head in range(len(theirs) // (2 * half))
                     for i in range(half) for part in range(2)]  # fmt: skip
            theirs = theirs[order]
        assert torch.equal(ours, theirs if theirs.dim() == 1 else theirs.to(stored).float()), weight


def test_model_and_tokenizer_are_described(runs: Runs, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="the gguf package is an extra: aixmeg[gguf]")
    run = runs("multi_query_wide")
    found = read(gguf_file.convert(run, tmp_path / "model.gguf"))
    field = {name: value.contents() for name, value in found.fields.items()}
    assert field["general.architecture"] == "llama"
    assert [field[f"llama.{name}"] for name in ("block_count", "embedding_length", "feed_forward_length")] == [
        3,
        64,
        96,
    ]
    assert [field[f"llama.attention.{name}"] for name in ("head_count", "head_count_kv", "key_length")] == [8, 1, 16]
    assert (field["llama.rope.dimension_count"], field["llama.rope.freq_base"]) == (16, 256_000.0)
    assert field["llama.context_length"] == 256
    assert field["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)  # stored in fp32
    tokenizer = CodeTokenizer.from_folder(run / "tokenizer")
    assert field["tokenizer.ggml.tokens"] == [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    kinds = field["tokenizer.ggml.token_type"]
    assert [kinds[token] for token in (0, 1, 2, tokenizer.special.prefix)] == [2, 3, 3, 3]
    assert kinds.count(6) == 256
    for name in ("add_bos_token", "add_eos_token", "add_space_prefix"):
        assert field[f"tokenizer.ggml.{name}"] is False
    assert field["tokenizer.ggml.fim_mid_token_id"] == tokenizer.special.middle
    assert (field["tokenizer.ggml.bos_token_id"], field["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]


def test_without_the_package(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"install aixmeg\[gguf\]"):
        gguf_file.convert(runs(next(iter(MODELS))), tmp_path / "model.gguf")
