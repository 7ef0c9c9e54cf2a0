"""Hugging Face folders and aiXcoder's release become runs that every layout starts from, and turn back bit for bit."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import GROUPED, MODELS

from aixmeg.config import Config, ModelConfig, ParallelConfig, TrainConfig
from aixmeg.convert.checkpoint_reader import CheckpointWeights
from aixmeg.convert.from_hf import convert
from aixmeg.convert.mapping import hf_shapes
from aixmeg.convert.native import read_run_config
from aixmeg.convert.to_hf import convert as to_hf
from aixmeg.convert.weights import SafetensorsFolder
from aixmeg.errors import UserError
from aixmeg.model.names import named_parameters, parameter_table, shard

sys.path.insert(0, str(Path(__file__).parents[2] / "dist"))
from launch import run_function

Runs = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`folders("tied", "bf16")`: a converted model. Do not change what is in it."""
    made = tmp_path_factory.mktemp("folders")

    def folder(name: str, precision: str = "fp32") -> Path:
        path = made / f"{name}-{precision}"
        if not path.exists():
            to_hf(runs(name, precision), path, shard_bytes=300_000)
        return path

    return folder


def same_files(one: Path, other: Path) -> None:
    names = {file.name for file in one.iterdir()}
    assert names == {file.name for file in other.iterdir()}
    for name in names - {"aixmeg.json"}:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_there_and_back_changes_no_bit(name: str, precision: str, folders: Any, tmp_path: Path) -> None:
    source = folders(name, precision)
    found = convert(source, tmp_path / "run", verify=precision == "bf16", file_bytes=200_000)
    assert found.dtype == precision
    assert found.tokenizer == ""
    to_hf(tmp_path / "run", tmp_path / "back", shard_bytes=300_000)
    same_files(source, tmp_path / "back")


def test_foreign_fields_and_padding_of_the_vocabulary(folders: Any, tmp_path: Path) -> None:
    source = tmp_path / "hf"
    shutil.copytree(folders("grouped"), source)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config |= {"bos_token_id": 7, "transformers_version": "4.31.0", "pretraining_tp": 1}
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = convert(source, tmp_path / "run", verify=True, vocab_multiple_of=1000)
    assert found.vocab_size == read_run_config(tmp_path / "run").model.vocab_size == 2000
    weights = CheckpointWeights(tmp_path / "run" / "checkpoints" / "step-00000000")
    assert weights["output_layer.weight"].shape == (2000, 64)
    assert not weights["output_layer.weight"][1024:].any()
    to_hf(tmp_path / "run", tmp_path / "back", verify=True, shard_bytes=300_000)
    same_files(source, tmp_path / "back")


def load_in_layout(run: Path, parallel: ParallelConfig, precision: str) -> list[str]:
    """Names whose weights are not those of the checkpoint, right after loading and after a step without change."""
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.initial import load_initial

    config = Config(model=GROUPED, parallel=parallel, train=TrainConfig(precision=precision))  # type: ignore[arg-type]
    topology = Topology.create(parallel, 1)
    training = build_training(config, topology, torch.device("cpu"))
    load_initial(training, run, data={})
    weights, wrong = CheckpointWeights(run / "checkpoints" / "step-00000000"), []
    table = parameter_table(GROUPED)
    for when in ("loaded", "after a step"):
        for chunk in training.models:
            for info, parameter in named_parameters(chunk, table, first_layer=chunk.first_layer):
                expected = shard(info, weights[info.name], tp_rank=topology.tp_rank, tp_size=topology.tp_size)
                if not torch.equal(parameter, expected.to(parameter.dtype)):
                    wrong.append(f"{info.name} {when}")
        for group in training.optimizer.param_groups:
            group["lr"] = 0.0
        training.optimizer.step()
    topology.destroy()
    return wrong


@pytest.mark.parametrize(
    ("parallel", "ranks", "precision"),
    [
        (ParallelConfig(), 1, "fp32"),
        (ParallelConfig(tensor_model_parallel_size=2, sequence_parallel=True), 2, "bf16"),
        (ParallelConfig(pipeline_model_parallel_size=3), 3, "fp32"),
        (ParallelConfig(), 2, "bf16"),
    ],
    ids=["alone", "tp2", "pp3", "dp2"],
)
def test_every_layout_starts_from_it(
    parallel: ParallelConfig, ranks: int, precision: str, folders: Any, tmp_path: Path
) -> None:
    convert(folders("grouped", precision), tmp_path / "run", file_bytes=100_000)
    assert run_function(load_in_layout, ranks, tmp_path / "run", parallel, precision) == [[]] * ranks


def start_with(run: Path, model: ModelConfig, data: dict[str, str]) -> str:
    from aixmeg.parallel.topology import Topology
    from aixmeg.train.build import build_training
    from aixmeg.train.checkpoint import load_checkpoint
    from aixmeg.train.initial import load_initial

    topology = Topology.create(ParallelConfig(), 1)
    training = build_training(Config(model=model, train=TrainConfig(precision="fp32")), topology, torch.device("cpu"))
    try:
        if data.get("resume"):
            load_checkpoint(training, run, data={})
        return "\n".join(load_initial(training, run, data=data))
    except UserError as error:
        return f"refused: {error}"
    finally:
        topology.destroy()


def test_other_models_tokenizers_and_resuming_are_refused(folders: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    convert(folders("grouped"), run)
    longer = dataclasses.replace(GROUPED, seq_length=512, kv_channels=8)
    cases = [
        (longer, {}, "starting from the weights of .*\nmodel.seq_length was 256, is now 512$"),
        (dataclasses.replace(GROUPED, num_query_groups=4), {}, "refused: .*model.num_query_groups was 2, is now 4"),
        (GROUPED, {"tokenizer_sha256": "0" * 64}, "refused: the training data was built with another tokenizer"),
        (GROUPED, {"resume": "yes"}, "refused: .*without optimizer state.*--train.init_from"),
    ]
    for model, data, expected in cases:
        (answer,) = run_function(start_with, 1, run, model, data)
        assert re.search(expected, answer, re.DOTALL), answer


def test_an_interrupted_import_goes_on(folders: Any, tmp_path: Path) -> None:
    def interrupt(what: str, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    source = folders("grouped")
    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "run", file_bytes=100_000, progress=interrupt)
    half = tmp_path / ".run.tmp" / "checkpoints" / ".step-00000000.tmp"
    before = {file.name: file.stat().st_mtime_ns for file in half.glob("*.distcp")}
    assert len(before) > 3
    assert not (tmp_path / "run").exists()
    convert(source, tmp_path / "run", file_bytes=100_000)
    convert(source, tmp_path / "whole", file_bytes=100_000)
    checkpoint = tmp_path / "run" / "checkpoints" / "step-00000000"
    last = max(before, key=lambda name: before[name])
    assert {name for name in before if (checkpoint / name).stat().st_mtime_ns == before[name]} == set(before) - {last}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run", "whole"]
    for file in (tmp_path / "whole" / "checkpoints" / "step-00000000").glob("*.distcp"):
        assert file.read_bytes() == (checkpoint / file.name).read_bytes()


def pickled(source: Path, target: Path, *, shards: bool) -> None:
    """The folder with its weights as torch.save writes them."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.safetensors*"))
    weights = dict(SafetensorsFolder(source))
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(4)  # as releases of 2023 have
    if not shards:
        torch.save(weights, target / "pytorch_model.bin")
        return
    where = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(weights)}
    for file in set(where.values()):
        torch.save({name: weights[name] for name in weights if where[name] == file}, target / file)
    index = {"metadata": {}, "weight_map": where}
    (target / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")


@pytest.mark.parametrize("shards", [False, True])
def test_pickled_weights_are_read_as_tensors(shards: bool, folders: Any, tmp_path: Path) -> None:
    pickled(folders("grouped"), tmp_path / "bin", shards=shards)
    convert(tmp_path / "bin", tmp_path / "run")
    to_hf(tmp_path / "run", tmp_path / "back", shard_bytes=300_000)
    same_files(folders("grouped"), tmp_path / "back")


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_pickles_that_would_run_code_are_refused(folders: Any, tmp_path: Path) -> None:
    mark, folder = tmp_path / "mark", tmp_path / "bin"
    pickled(folders("grouped"), folder, shards=False)
    torch.save({"model.norm.weight": Malicious(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="could run code, so it is refused"):
        convert(folder, tmp_path / "run")
    run = tmp_path / "run"
    convert(folders("grouped"), run)
    for content in (Malicious(mark), {"state_dict_metadata": Malicious(mark)}):
        (run / "checkpoints" / "step-00000000" / ".metadata").write_bytes(pickle.dumps(content))
        manifest = run / "checkpoints" / "step-00000000" / "aixmeg.json"
        described = json.loads(manifest.read_text(encoding="utf-8"))
        described["files"].pop(".metadata", None)
        described.pop("sha256", None)
        manifest.write_text(json.dumps(described), encoding="utf-8")
        with pytest.raises(UserError, match="mkdir, which no such table needs"):
            CheckpointWeights(run / "checkpoints" / "step-00000000")
    assert not mark.exists()


def released(source: Path, target: Path, *, nested: bool = True) -> dict[str, torch.Tensor]:
    """The weights in the layout of aiXcoder's own release, written out here from its description."""
    hf, found = SafetensorsFolder(source), {}
    heads, groups, size = GROUPED.num_attention_heads, GROUPED.num_query_groups, GROUPED.head_size
    for layer in range(GROUPED.num_layers):
        theirs, ours = f"layers.{layer}", f"model.layers.{layer}"
        q, k, v = (hf[f"{ours}.self_attn.{name}_proj.weight"].split(size) for name in "qkv")
        rows = []
        for group in range(groups):
            rows += [*q[group * heads // groups : (group + 1) * heads // groups], k[group], v[group]]
        found[f"{theirs}.attention.query_key_value.weight"] = torch.cat(rows)
        found[f"{theirs}.attention.wo.weight"] = hf[f"{ours}.self_attn.o_proj.weight"]
        for name, part in (("w1", "gate"), ("w2", "down"), ("w3", "up")):
            found[f"{theirs}.feed_forward.{name}.weight"] = hf[f"{ours}.mlp.{part}_proj.weight"]
        found[f"{theirs}.attention_norm.weight"] = hf[f"{ours}.input_layernorm.weight"]
        found[f"{theirs}.ffn_norm.weight"] = hf[f"{ours}.post_attention_layernorm.weight"]
    found["tok_embeddings.weight"] = hf["model.embed_tokens.weight"]
    found["norm.weight"], found["output.weight"] = hf["model.norm.weight"], hf["lm_head.weight"]
    target.mkdir()
    torch.save({"iteration": 1, "model": {"llama_model": found}} if nested else found, target / "aix3-7b-base.pt")
    shutil.copyfile(source / "tokenizer.model", target / "tokenizer.model")
    return found


@pytest.mark.parametrize("nested", [True, False])
def test_the_released_layout(nested: bool, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aixmeg.convert.from_hf.ModelConfig", lambda: GROUPED)  # heads of the published model
    released(folders("grouped"), tmp_path / "release", nested=nested)
    convert(tmp_path / "release", tmp_path / "run")
    to_hf(tmp_path / "run", tmp_path / "back", shard_bytes=300_000, verify=True)
    expected, back = SafetensorsFolder(folders("grouped")), SafetensorsFolder(tmp_path / "back")
    assert set(expected) == set(back)
    assert all(torch.equal(expected[name], back[name]) for name in expected)
    monkeypatch.setattr("aixmeg.convert.from_hf.ModelConfig", lambda: dataclasses.replace(GROUPED, num_query_groups=4))
    with pytest.raises(UserError, match="linear_qkv.*has shape"):
        convert(tmp_path / "release", tmp_path / "other")


def test_what_cannot_be_read_is_named(folders: Any, tmp_path: Path) -> None:
    empty, source = tmp_path / "empty", tmp_path / "hf"
    empty.mkdir()
    with pytest.raises(UserError, match="neither config.json"):
        convert(empty, tmp_path / "run")
    with pytest.raises(UserError, match="not empty"):
        convert(folders("grouped"), folders("tied"))
    shutil.copytree(folders("grouped"), source)
    original = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for field, value in (
        ("rope_parameters", {"rope_type": "llama3", "factor": 8.0}), ("attention_bias", True), ("mlp_bias", True),
        ("sliding_window", 4096), ("quantization_config", {"bits": 4}), ("model_type", "mistral"),
    ):  # fmt: skip
        (source / "config.json").write_text(json.dumps(original | {field: value}), encoding="utf-8")
        with pytest.raises(UserError, match="rope_type='llama3'" if field == "rope_parameters" else field):
            convert(source, tmp_path / "run")
    (source / "config.json").write_text(json.dumps(original), encoding="utf-8")
    for file in source.glob("*.safetensors*"):
        file.unlink()
    with pytest.raises(UserError, match="holds no weights"):
        convert(source, tmp_path / "run")
    half = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in hf_shapes(GROUPED).items()}
    torch.save(half, source / "pytorch_model.bin")
    with pytest.raises(UserError, match="float16, in which nothing trains"):
        convert(source, tmp_path / "run")
    assert convert(source, tmp_path / "run", dtype="fp32").dtype == "fp32"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "hf", "run"]


def test_a_foreign_tokenizer_is_kept_as_it_is(folders: Any, tmp_path: Path) -> None:
    source = tmp_path / "hf"
    shutil.copytree(folders("grouped"), source)
    (source / "tokenizer.model").write_bytes(b"not ours")
    (source / "aixmeg_prompt.py").unlink()
    found = convert(source, tmp_path / "run", verify=True)
    assert "is not a SentencePiece model" in found.tokenizer
    to_hf(tmp_path / "run", tmp_path / "back", shard_bytes=300_000, verify=True)
    same_files(source, tmp_path / "back")


MEMORY = """
import sys
from pathlib import Path
import aixmeg.parallel
from aixmeg.convert import from_hf, to_hf
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024
source, out = map(Path, sys.argv[1:])
from_hf.convert(source, out / "warm", file_bytes=1)  # whatever is loaded or allocated once
import shutil; shutil.rmtree(out / "warm")
Path("/proc/self/clear_refs").write_text("5")
before = peak()
from_hf.convert(Path(str(source) + "-big"), out / "run")
to_hf.convert(out / "run", out / "back")
print(peak() - before)
"""


def test_memory_grows_by_a_few_tensors(folders: Any, tmp_path: Path) -> None:
    """Measured: 7.3 times the largest tensor, with joined weights, copies in the type to write and the allocator's
    remains; a conversion that holds the model, or a file of 60 MB in either direction, needs more than 10 times."""
    from aixmeg.convert.hf_config import config_json
    from aixmeg.convert.ledger import Ledger
    from aixmeg.convert.weights import write_weights

    model = dataclasses.replace(GROUPED, num_layers=12, hidden_size=1024, ffn_hidden_size=2560, vocab_size=4096)
    shapes = hf_shapes(model)
    shutil.copytree(folders("grouped"), tmp_path / "hf")
    big = tmp_path / "hf-big"
    write_weights(
        Ledger(big, {"keep": 1}), lambda names: ((name, torch.randn(shapes[name])) for name in names), shapes,
        dtype=torch.bfloat16, shard_bytes=60_000_000,
    )  # fmt: skip
    shutil.copytree(folders("grouped"), big, ignore=shutil.ignore_patterns("*.safetensors*"), dirs_exist_ok=True)
    (big / "config.json").write_text(json.dumps(config_json(model, "bfloat16")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "hf", tmp_path], capture_output=True, text=True, env=environment,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    largest = max(info.numel for info in parameter_table(model).values()) * 2
    whole = sum(info.numel for info in parameter_table(model).values()) * 2
    assert whole > 20 * largest
    assert int(done.stdout.split()[-1]) < 10 * largest, done.stdout
