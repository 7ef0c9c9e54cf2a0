"""Shards of safetensors: sizes, index, laziness, damage, a full disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from aixmeg.convert.ledger import Ledger
from aixmeg.convert.weights import SafetensorsFolder, write_weights
from aixmeg.errors import UserError

SHAPES = {"a": (3, 4), "b": (5,), "c": (20, 2), "d": (1,)}


def tensors() -> dict[str, torch.Tensor]:
    return {name: torch.arange(torch.Size(shape).numel()).view(shape).float() for name, shape in SHAPES.items()}


def write(folder: Path, **options: int) -> int:
    found = tensors()
    ledger = Ledger(folder, {})
    size = write_weights(
        ledger, lambda names: ((name, found[name]) for name in names), SHAPES, dtype=torch.float32, **options
    )
    ledger.close()
    return size


def test_one_file_when_it_fits(tmp_path: Path) -> None:
    assert write(tmp_path) == 4 * (12 + 5 + 40 + 1)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    read = SafetensorsFolder(tmp_path)
    assert len(read) == 4
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors().items())


def test_shards_and_index(tmp_path: Path) -> None:
    write(tmp_path, shard_bytes=80)  # a and b together, c alone above the limit, d alone
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [*(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)), "model.safetensors.index.json"]
    index = json.loads((tmp_path / names[-1]).read_text(encoding="utf-8"))
    assert index["weight_map"] == {"a": names[0], "b": names[0], "c": names[1], "d": names[2]}
    assert index["metadata"]["total_size"] == 232
    read = SafetensorsFolder(tmp_path)
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors().items())


def test_views_and_shared_storage_are_written_whole(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    views = {"a": base.t(), "b": base, "c": base[1:2]}
    shapes = {name: tuple(view.shape) for name, view in views.items()}
    write_weights(Ledger(tmp_path, {}), lambda names: views.items(), shapes, dtype=torch.bfloat16)
    read = SafetensorsFolder(tmp_path)
    assert all(torch.equal(read[name], view.bfloat16()) for name, view in views.items())
    assert (tmp_path / "model.safetensors").stat().st_size < 1000


def test_safetensors_own_writer_makes_the_same_tensors(tmp_path: Path) -> None:
    write(tmp_path)
    save_file(tensors(), tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    ours, theirs = (safe_open(tmp_path / name, "pt") for name in ("model.safetensors", "theirs.safetensors"))
    assert ours.metadata() == theirs.metadata()
    assert set(ours.keys()) == set(theirs.keys())
    assert (tmp_path / "model.safetensors").stat().st_size % 4 == 0
    for name in ours.keys():  # noqa: SIM118 (no mapping)
        assert torch.equal(ours.get_tensor(name), theirs.get_tensor(name))


def test_cut_and_missing_files(tmp_path: Path) -> None:
    write(tmp_path, shard_bytes=80)
    shard = tmp_path / "model-00002-of-00003.safetensors"
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(UserError, match="model-00002-of-00003.safetensors"):
        _ = SafetensorsFolder(tmp_path)["c"]
    shard.unlink()
    with pytest.raises(UserError, match="model-00002-of-00003.safetensors"):
        _ = SafetensorsFolder(tmp_path)["c"]


@pytest.mark.parametrize("index", ["{}", "[]", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "../a.safetensors"}}'])
def test_a_broken_index_is_refused(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index, encoding="utf-8")
    with pytest.raises(UserError, match="index.json"):
        SafetensorsFolder(tmp_path)
