"""config.json: what transformers understands of it, and what we refuse to read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from transformers import GenerationConfig, LlamaConfig

from aixmeg.config import PRESETS, ModelConfig
from aixmeg.convert.hf_config import config_json, generation_config_json, read_model_config
from aixmeg.errors import UserError


def write(folder: Path, **changes: object) -> Path:
    content = config_json(PRESETS["tiny"], "bfloat16") | changes
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_transformers_reads_every_size(name: str, tmp_path: Path) -> None:
    model = PRESETS[name]
    (tmp_path / "config.json").write_text(json.dumps(config_json(model, "bfloat16")), encoding="utf-8")
    read = LlamaConfig.from_pretrained(tmp_path)
    assert (read.num_hidden_layers, read.hidden_size, read.intermediate_size) == (
        model.num_layers, model.hidden_size, model.ffn_hidden_size,
    )  # fmt: skip
    assert (read.num_attention_heads, read.num_key_value_heads) == (model.num_attention_heads, model.num_query_groups)
    assert (read.head_dim, read.vocab_size) == (model.head_size, model.vocab_size)
    assert read.rope_parameters["rope_theta"] == model.rotary_base == 256_000.0
    assert read.rope_parameters["rope_type"] == "default"
    assert (read.rms_norm_eps, read.max_position_embeddings) == (1e-5, model.seq_length)
    assert (read.bos_token_id, read.eos_token_id, read.tie_word_embeddings) == (1, 2, False)
    assert str(read.dtype) == "torch.bfloat16"
    assert read.architectures == ["LlamaForCausalLM"]
    assert read_model_config(tmp_path) == model


def test_releases_before_5_find_their_spelling() -> None:
    content = config_json(PRESETS["tiny"], "float32")
    assert content["rope_theta"] == 256_000.0
    assert content["torch_dtype"] == "float32"
    assert content["rope_scaling"] is None


def test_generation_config_is_greedy(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(generation_config_json()), encoding="utf-8")
    read = GenerationConfig.from_pretrained(tmp_path)
    assert (read.bos_token_id, read.eos_token_id, read.pad_token_id, read.do_sample) == (1, 2, 2, False)


def test_wide_heads_and_tied_embeddings_round_trip(tmp_path: Path) -> None:
    model = dataclasses.replace(PRESETS["tiny"], kv_channels=64, share_embeddings_and_output_weights=True)
    (tmp_path / "config.json").write_text(json.dumps(config_json(model, "float32")), encoding="utf-8")
    assert read_model_config(tmp_path) == model


def test_a_config_of_an_older_release_is_read(tmp_path: Path) -> None:
    content = config_json(PRESETS["tiny"], "float32")
    for name in ("rope_parameters", "dtype", "head_dim"):
        del content[name]
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_model_config(tmp_path) == PRESETS["tiny"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "qwen2"}, "model_type='qwen2'"),
        ({"attention_bias": True}, "attention_bias=True"),
        ({"hidden_act": "gelu"}, "hidden_act='gelu'"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type='yarn'"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type='linear'"),
        ({"num_hidden_layers": None}, "does not describe a Llama model"),
        ({"num_attention_heads": 0, "head_dim": None}, "does not describe a Llama model"),
    ],
)
def test_other_models_are_refused(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_model_config(write(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_broken_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json"):
        read_model_config(tmp_path)


def test_model_config_defaults_are_the_published_model() -> None:
    assert config_json(ModelConfig(), "bfloat16")["intermediate_size"] == 14_464
