"""Run's checkpoint → one GGUF file for llama.cpp and what builds on it, written by the `gguf` package (aixmeg[gguf]).

llama.cpp's `llama` architecture rotates neighbouring pairs, ours and Hugging Face's rotate the two halves of a head, so
the rows of query and key are put in another order (as its convert_hf_to_gguf.py does). The tokenizer is SentencePiece's
pieces and scores, with neither `<s>` nor a blank added by the reader.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from aixmeg.config import ModelConfig
from aixmeg.convert.checkpoint_reader import CheckpointWeights
from aixmeg.convert.mapping import hf_shapes, to_hf
from aixmeg.convert.native import read_run_config, read_tokenizer
from aixmeg.errors import UserError
from aixmeg.files import sync, write_error
from aixmeg.tokenizer import CodeTokenizer

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
"""Kinds of piece in a GGUF file; those of SentencePiece's format."""
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}


def convert(run: Path, out: Path, *, dtype: Literal["bf16", "f16", "fp32"] = "bf16", step: int | None = None) -> Path:
    """Write the newest checkpoint of `run`, or that of `step`, as the file `out`; norms are always fp32.

    Raises:
        UserError: `gguf` is not installed, no such run, a tokenizer that is not ours, or a full disk.
    """
    from aixmeg.train.folders import latest_checkpoint

    gguf = _gguf()
    config = read_run_config(run)
    checkpoint = latest_checkpoint(run, step)
    tokenizer = read_tokenizer(run / "tokenizer", config.model)
    temporary = out.with_name(f".{out.name}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(temporary, "llama")
        _describe(gguf, writer, config.model, tokenizer, dtype=dtype, name=run.resolve().name)
        weights = CheckpointWeights(checkpoint)
        _write_weights(gguf, writer, weights, config.model, vocab_size=tokenizer.vocab_size, dtype=dtype)
        writer.close()
        sync(temporary)
        temporary.replace(out)
    except OSError as error:
        raise write_error(out, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return out


def _gguf() -> Any:
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise UserError("writing GGUF needs the package gguf; install aixmeg[gguf]") from error


def _describe(gguf: Any, writer: Any, model: ModelConfig, tokenizer: CodeTokenizer, *, dtype: str, name: str) -> None:
    kinds = {"bf16": "MOSTLY_BF16", "f16": "MOSTLY_F16", "fp32": "ALL_F32"}
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType[kinds[dtype]])
    writer.add_context_length(model.seq_length)
    writer.add_embedding_length(model.hidden_size)
    writer.add_block_count(model.num_layers)
    writer.add_feed_forward_length(model.ffn_hidden_size)
    writer.add_head_count(model.num_attention_heads)
    writer.add_head_count_kv(model.num_query_groups)
    writer.add_key_length(model.head_size)
    writer.add_value_length(model.head_size)
    writer.add_rope_dimension_count(model.head_size)
    writer.add_rope_freq_base(model.rotary_base)
    writer.add_layer_norm_rms_eps(model.layernorm_epsilon)
    writer.add_vocab_size(tokenizer.vocab_size)
    ids = range(tokenizer.vocab_size)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokenizer.piece(token).encode() for token in ids])
    writer.add_token_scores([tokenizer.score(token) for token in ids])
    writer.add_token_types([_kind(tokenizer, token) for token in ids])
    writer.add_bos_token_id(tokenizer.bos)
    writer.add_eos_token_id(tokenizer.eos)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(tokenizer.eos)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", tokenizer.special.prefix)
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", tokenizer.special.suffix)
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", tokenizer.special.middle)


def _kind(tokenizer: CodeTokenizer, token: int) -> int:
    if tokenizer.piece(token) == "<unk>":
        return _UNKNOWN
    if tokenizer.is_control(token):
        return _CONTROL
    return _NORMAL if tokenizer.is_text(token) else _BYTE


def _write_weights(
    gguf: Any, writer: Any, weights: CheckpointWeights, model: ModelConfig, *, vocab_size: int, dtype: str
) -> None:
    """First what every tensor is, then the tensors, one at a time."""
    kinds = {"bf16": (torch.bfloat16, "BF16"), "f16": (torch.float16, "F16"), "fp32": (torch.float32, "F32")}
    for name, shape in hf_shapes(model).items():
        rows = (vocab_size, *shape[1:]) if name in ("model.embed_tokens.weight", "lm_head.weight") else shape
        torch_type, kind = kinds["fp32" if len(shape) == 1 else dtype]
        count = torch.Size(rows).numel() * torch_type.itemsize
        # The element type matters only where no raw type is given.
        writer.add_tensor_info(gguf_name(name), rows, np.dtype(np.float32), count, gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in to_hf(weights, model, vocab_size=vocab_size):
        torch_type, _ = kinds["fp32" if tensor.dim() == 1 else dtype]
        cast = interleaved(name, tensor, model).to(torch_type).contiguous()
        writer.write_tensor_data(cast.reshape(-1).view(torch.uint8).numpy())


def gguf_name(name: str) -> str:
    """llama.cpp's name of a Hugging Face weight."""
    if name in _NAMES:
        return _NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest]}"


def interleaved(name: str, tensor: Tensor, model: ModelConfig) -> Tensor:
    """Query and key rows with the two halves of each head interleaved; other weights as they are.

    [np * hn, h] as np × (2, hn/2) → np × (hn/2, 2).
    """
    if not name.endswith(("q_proj.weight", "k_proj.weight")):
        return tensor
    heads = tensor.view(-1, 2, model.head_size // 2, tensor.shape[-1])
    return heads.transpose(1, 2).reshape(tensor.shape)
