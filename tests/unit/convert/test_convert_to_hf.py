"""Whole conversions: what transformers computes with the folder, what --verify catches, what a failure leaves."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from full_disk import small_disk
from tiny_run import MODELS
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from aixmeg.convert import to_hf as module
from aixmeg.convert import verify
from aixmeg.convert.command import to_hf as command
from aixmeg.convert.native import check_model, open_hf, open_run, read_run_config, run_model
from aixmeg.convert.to_hf import convert
from aixmeg.convert.weights import SafetensorsFolder
from aixmeg.errors import UserError
from aixmeg.sfim.format import psm_prompt, spm_prompt
from aixmeg.tokenizer import SPECIAL_PIECES, CodeTokenizer

Runs = Callable[..., Path]
TEXT = Path(json.__file__).read_text(encoding="utf-8")


def ids_of(run: Path, count: int = 200) -> list[int]:
    tokenizer = CodeTokenizer.from_folder(run / "tokenizer")
    return [tokenizer.bos, *tokenizer.encode(TEXT)][:count]


@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_those_of_transformers(name: str, runs: Runs, tmp_path: Path) -> None:
    run, ids = runs(name), ids_of(runs(name))
    with open_run(run) as native:
        ours = native.model.logits(torch.tensor([ids]))
    assert float(ours.abs().max()) > 3  # else a tolerance of 1e-4 says little
    result = convert(run, tmp_path / "hf", verify=True)
    with torch.no_grad():
        theirs = LlamaForCausalLM.from_pretrained(tmp_path / "hf")(torch.tensor([ids])).logits
    # fp32 sums of 64 to 96 terms in another order, logits of about 10
    torch.testing.assert_close(ours, theirs, rtol=0, atol=verify.TOLERANCE)
    assert result.verification is not None
    assert result.verification.largest_difference < verify.TOLERANCE
    assert result.verification.tokens == 256


def test_the_folder_is_complete(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "hf"
    result = convert(runs("grouped"), out)
    assert {file.name for file in out.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.model", "tokenizer.json",
        "tokenizer_config.json", "special_tokens_map.json", "aixmeg.json", "aixmeg_prompt.py",
    }  # fmt: skip
    assert [file.name for file in out.parent.iterdir()] == ["hf"]
    assert result.parameters == sum(p.numel() for p in LlamaForCausalLM.from_pretrained(out).parameters())
    loaded, report = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert isinstance(loaded, LlamaForCausalLM)
    assert not any(report.values())
    assert loaded.generation_config.eos_token_id == 2
    provenance = json.loads((out / "aixmeg.json").read_text(encoding="utf-8"))
    assert provenance["checkpoint"] == "step-00000007"
    assert provenance["largest_logit_difference"] is None


def test_the_tokenizer_loads_without_our_code(runs: Runs, tmp_path: Path) -> None:
    convert(runs("grouped"), tmp_path / "hf")
    ours, theirs = CodeTokenizer.from_folder(tmp_path / "hf"), AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in (TEXT, "<s>\u2581<AIX-SPAN-PRE>\u2581", "\tif\r\n  x"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.encode(text)
    for field, piece in SPECIAL_PIECES.items():
        assert theirs.convert_tokens_to_ids(piece) == getattr(ours.special, field)


def test_the_prompts_of_the_folder_are_those_of_training(runs: Runs, tmp_path: Path) -> None:
    convert(runs("grouped"), tmp_path / "hf")
    script = """
import json, sys
sys.path = [sys.argv[1]] + [path for path in sys.path if "aixmeg" not in path]
sys.modules["aixmeg"] = None
import aixmeg_prompt
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
parts = json.load(sys.stdin)
print(json.dumps([make(tokenizer, **part) for part in parts for make in (aixmeg_prompt.psm, aixmeg_prompt.spm)]))
"""
    parts = [
        {"header": "# the file path is: a.py\n", "prefix": "def f():\n    return ", "suffix": "\n\n\nprint(f())\n"},
        {"header": "", "prefix": "", "suffix": ""},
        {"header": "", "prefix": " x = '<s>\u2581<AIX-SPAN-POST>'", "suffix": "\u2581<AIX-SPAN-MIDDLE> </s>\t"},
    ]
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "hf"], input=json.dumps(parts), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    tokenizer = CodeTokenizer.from_folder(tmp_path / "hf")
    expected = [make(tokenizer, **part) for part in parts for make in (psm_prompt, spm_prompt)]
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize(("precision", "stored"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_weights_are_bit_identical_after_the_way_back(
    precision: str, stored: torch.dtype, runs: Runs, tmp_path: Path
) -> None:
    convert(runs("grouped", precision), tmp_path / "hf", verify=True)
    weights = SafetensorsFolder(tmp_path / "hf")
    assert {weights[name].dtype for name in weights} == {stored}
    with open_run(runs("grouped", precision)) as native:
        expected = {name: parameter.detach().clone() for name, parameter in native.model.named_parameters()}
    with open_hf(tmp_path / "hf") as native:
        found = dict(native.model.named_parameters())
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_dtype_rounds_on_both_sides(runs: Runs, tmp_path: Path) -> None:
    result = convert(runs("grouped"), tmp_path / "hf", verify=True, dtype="bf16")
    assert result.dtype == "bfloat16"
    assert result.size == 2 * result.parameters
    assert LlamaForCausalLM.from_pretrained(tmp_path / "hf", dtype="auto").dtype == torch.bfloat16


def test_shards_load(runs: Runs, tmp_path: Path) -> None:
    convert(runs("grouped"), tmp_path / "hf", verify=True, shard_bytes=300_000)
    assert len(list((tmp_path / "hf").glob("model-*.safetensors"))) > 2


def _swap_first_rows(tensor: torch.Tensor) -> torch.Tensor:
    return torch.cat([tensor[1:2], tensor[:1], tensor[2:]])


@pytest.mark.parametrize(
    ("weight", "damage"),
    [
        ("model.layers.1.mlp.down_proj.weight", lambda w: w.index_fill(0, torch.tensor([3]), 0.0)),
        ("model.layers.0.self_attn.k_proj.weight", _swap_first_rows),
        ("model.norm.weight", lambda w: w * 1.001),
        ("model.layers.2.input_layernorm.weight", lambda w: w.index_fill(0, torch.tensor([0]), float("nan"))),
    ],
)
def test_verify_fails_on_one_damaged_weight(
    weight: str, damage: Callable[[torch.Tensor], torch.Tensor], runs: Runs, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    original = module.to_hf

    def damaged(weights: Any, model: Any, **options: Any) -> Iterator[tuple[str, torch.Tensor]]:
        for name, tensor in original(weights, model, **options):
            yield name, damage(tensor) if name == weight else tensor

    monkeypatch.setattr(module, "to_hf", damaged)
    with pytest.raises(UserError, match=r"is off by .* after each layer: 0: .*1: .*2: "):
        convert(runs("grouped"), tmp_path / "hf", verify=True)
    assert list(tmp_path.iterdir()) == []


def test_verify_fails_on_another_tokenizer(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = module.export_hf

    def damaged(model_file: Path, out: Path) -> None:
        original(model_file, out)
        file = out / "tokenizer.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        content["model"]["merges"].pop(0)
        file.write_text(json.dumps(content), encoding="utf-8")

    monkeypatch.setattr(module, "export_hf", damaged)
    with pytest.raises(UserError, match="gives other ids to the sample text"):
        convert(runs("grouped"), tmp_path / "hf", verify=True)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_conversion_is_replaced_and_nothing_else(runs: Runs, tmp_path: Path) -> None:
    out = tmp_path / "hf"
    out.mkdir()
    convert(runs("grouped"), out)  # empty
    (out / "left.txt").write_text("from before", encoding="utf-8")
    convert(runs("multi_head"), out)
    assert not (out / "left.txt").exists()
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["num_key_value_heads"] == 8
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("irreplaceable", encoding="utf-8")
    with pytest.raises(UserError, match="not empty and not an earlier conversion"):
        convert(runs("grouped"), mine)
    with pytest.raises(UserError, match="is a file"):
        convert(runs("grouped"), mine / "thesis.tex")
    assert [file.name for file in mine.iterdir()] == ["thesis.tex"]
    run = runs("grouped")
    with pytest.raises(UserError, match="not empty"):
        convert(run, run)


def test_what_a_kill_left_is_removed(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / ".hf.tmp").mkdir()
    (tmp_path / ".hf.tmp" / "model-00001-of-00002.safetensors").write_text("half", encoding="utf-8")
    convert(runs("grouped"), tmp_path / "hf")
    assert [file.name for file in tmp_path.iterdir()] == ["hf"]
    assert not list((tmp_path / "hf").glob("model-*"))


def test_an_interrupted_conversion_goes_on(runs: Runs, tmp_path: Path) -> None:
    def interrupt(what: str, share: float) -> None:
        if share > 0.5:
            raise KeyboardInterrupt

    def modified() -> dict[str, int]:
        return {file.name: file.stat().st_mtime_ns for file in (tmp_path / ".hf.tmp").glob("model-*")}

    with pytest.raises(KeyboardInterrupt):
        convert(runs("grouped"), tmp_path / "hf", shard_bytes=100_000, progress=interrupt)
    assert not (tmp_path / "hf").exists()
    before = modified()
    names = sorted(before)
    assert len(names) == 3
    damaged = tmp_path / ".hf.tmp" / names[1]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    seen: dict[str, int] = {}
    convert(runs("grouped"), tmp_path / "hf", shard_bytes=100_000, progress=lambda *_: seen.update(modified()))
    kept = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "hf").glob("model-*.safetensors")}
    # The last one was being written, the second is not what the ledger noted.
    assert [name for name in names if kept[name] != before[name]] == [names[1], names[-1]]
    convert(runs("grouped"), tmp_path / "whole", shard_bytes=100_000)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["hf", "whole"]
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "hf" / file.name).read_bytes(), file.name


def test_what_another_conversion_left_is_not_taken(runs: Runs, tmp_path: Path) -> None:
    def interrupt(what: str, share: float) -> None:
        if share > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(runs("grouped"), tmp_path / "hf", shard_bytes=100_000, progress=interrupt)
    convert(runs("grouped", "bf16"), tmp_path / "hf", shard_bytes=100_000)
    convert(runs("grouped", "bf16"), tmp_path / "whole", shard_bytes=100_000)
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "hf" / file.name).read_bytes(), file.name


def test_a_symbolic_link_keeps_pointing(runs: Runs, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    convert(runs("grouped"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "model.safetensors").exists()


def test_a_full_disk_leaves_nothing(runs: Runs, tmp_path: Path) -> None:
    run = runs("grouped")
    with small_disk(100_000), pytest.raises(UserError, match="cannot write .*hf: .*free space"):
        convert(run, tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_inputs_that_are_no_run(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        convert(tmp_path / "none", tmp_path / "hf")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"has no config\.yaml"):
        convert(tmp_path / "folder", tmp_path / "hf")
    shutil.copytree(runs("grouped"), tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(UserError, match="holds no checkpoint"):
        convert(tmp_path / "run", tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ffn_hidden_size: 96", "ffn_hidden_size: 98", r"model\.ffn_hidden_size was 96, is now 98"),
        ("rotary_base: 256000.0", "rotary_base: 10000.0", r"model\.rotary_base was 256000.0, is now 10000.0"),
    ],
)
def test_a_checkpoint_of_another_model(old: str, new: str, message: str, runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs("grouped"), tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        convert(tmp_path / "run", tmp_path / "hf")
    assert not (tmp_path / "hf").exists()


def test_a_damaged_checkpoint(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs("grouped"), tmp_path / "run")
    file = max((tmp_path / "run").rglob("*.distcp"), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="is incomplete"):
        convert(tmp_path / "run", tmp_path / "hf")


def test_the_command_prints_a_summary(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(runs("grouped"), tmp_path / "hf", verify=True)
    printed = capsys.readouterr().out
    assert "step-00000007" in printed
    assert "largest logit difference" in printed


def test_a_run_that_trained_with_flash_is_read_in_fp32_without_it(runs: Runs) -> None:
    """FlashAttention's kernels take no fp32 on a GPU, where forcing them would end in an error."""
    run = runs("grouped", "bf16")
    config = read_run_config(run)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, attention_backend="flash"))
    with run_model(run, config) as (model, _):
        assert [layer.self_attention.core_attention.backend for layer in model.decoder.layers] == ["auto"] * 3


def test_a_checkpoint_may_be_older_than_options_of_how_to_compute() -> None:
    saved = dataclasses.asdict(MODELS["grouped"])
    for name in ("attention_backend", "fp8_keep_weights", "layer_set", "num_layers_at_end_in_bf16"):
        del saved[name]
    check_model(Path("step-7"), saved, MODELS["grouped"])
    del saved["rotary_base"]
    with pytest.raises(UserError, match="rotary_base was None"):
        check_model(Path("step-7"), saved, MODELS["grouped"])
