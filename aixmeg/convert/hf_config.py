"""config.json and generation_config.json of a Llama folder, to and from our model section."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from aixmeg.config import ModelConfig
from aixmeg.errors import UserError
from aixmeg.files import read_json

KEPT_FILES = "huggingface"
"""Folder of a converted run that keeps the small files of the Hugging Face folder it came from, for the way back."""
_SMALL_FILES = {".json", ".model", ".txt", ".jinja"}
_NOT_KEPT = {"model.safetensors.index.json", "pytorch_model.bin.index.json", "aixmeg.json"}
BOS, EOS = 1, 2
"""Ids that the tokenizer's training fixes for `<s>` and `</s>`."""


def config_json(model: ModelConfig, dtype: str) -> dict[str, Any]:
    """The fields of LlamaConfig. `dtype` is a torch name such as "bfloat16".

    transformers 5 reads `rope_parameters` and `dtype`; releases before it read `rope_theta` and `torch_dtype` and
    would fall back to a base of 10,000 and fp32 without a word. Both spellings are written.
    """
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.ffn_hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_query_groups,
        "head_dim": model.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": model.seq_length,
        "initializer_range": model.init_method_std,
        "rms_norm_eps": model.layernorm_epsilon,
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary_base},
        "rope_theta": model.rotary_base,
        "rope_scaling": None,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "tie_word_embeddings": model.share_embeddings_and_output_weights,
        "use_cache": True,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": None,
        "dtype": dtype,
        "torch_dtype": dtype,
    }


def generation_config_json() -> dict[str, Any]:
    """Greedy decoding that stops at `</s>`; padding falls back to `</s>`, for the tokenizer has no pad piece."""
    return {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": EOS, "do_sample": False}


def copy_small_files(source: Path, target: Path) -> None:
    """Copy configuration and tokenizer files of a Hugging Face folder: no weights, and no code."""
    for file in sorted(source.iterdir()):
        if file.is_file() and file.suffix in _SMALL_FILES and file.name not in _NOT_KEPT:
            shutil.copyfile(file, target / file.name)


def read_model_config(folder: Path) -> ModelConfig:
    """The model section that describes a Llama folder.

    Raises:
        UserError: config.json is unreadable, or asks for something that this model family does not have.
    """
    file = folder / "config.json"
    found = read_json(file)
    if not isinstance(found, dict):
        raise UserError(f"{file} holds {type(found).__name__}, not a JSON object; convert the model again")
    _refuse_other_families(file, found)
    rope = found.get("rope_parameters") or {}
    try:
        heads = int(found["num_attention_heads"])
        hidden = int(found["hidden_size"])
        head_size = int(found.get("head_dim") or hidden // heads)
        return ModelConfig(
            num_layers=int(found["num_hidden_layers"]),
            hidden_size=hidden,
            ffn_hidden_size=int(found["intermediate_size"]),
            num_attention_heads=heads,
            num_query_groups=int(found.get("num_key_value_heads") or heads),
            kv_channels=None if head_size * heads == hidden else head_size,
            seq_length=int(found["max_position_embeddings"]),
            vocab_size=int(found["vocab_size"]),
            rotary_base=float(rope.get("rope_theta") or found.get("rope_theta") or 10_000.0),
            layernorm_epsilon=float(found["rms_norm_eps"]),
            init_method_std=float(found.get("initializer_range", 0.02)),
            share_embeddings_and_output_weights=bool(found.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{file} does not describe a Llama model: {error!r}; convert the model again") from error


def _refuse_other_families(file: Path, found: dict[str, Any]) -> None:
    rope = found.get("rope_parameters") or found.get("rope_scaling") or {}
    rope_type = rope.get("rope_type", rope.get("type", "default")) if isinstance(rope, dict) else repr(rope)
    allowed = {
        "model_type": (found.get("model_type"), "llama"),
        "hidden_act": (found.get("hidden_act", "silu"), "silu"),
        "attention_bias": (found.get("attention_bias", False), False),
        "mlp_bias": (found.get("mlp_bias", False), False),
        "sliding_window": (found.get("sliding_window"), None),
        "partial_rotary_factor": (
            rope.get("partial_rotary_factor", found.get("partial_rotary_factor", 1.0))
            if isinstance(rope, dict)
            else 1.0,
            1.0,
        ),
        "quantization_config": (found.get("quantization_config"), None),
        "rope_type": (rope_type, "default"),
    }
    wrong = [
        f"{name}={value!r} (only {rule!r} is supported)" for name, (value, rule) in allowed.items() if value != rule
    ]
    if wrong:
        raise UserError(f"{file} describes another kind of model: {', '.join(wrong)}")
