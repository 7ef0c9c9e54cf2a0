"""Rules that span fields or sections. Each returns a sentence with the values, the rule and the remedy."""

from __future__ import annotations

from collections.abc import Iterator

from aixmeg.config.blend import blend_problems
from aixmeg.config.fp8 import fp8_conflicts
from aixmeg.config.layout import divisors, layout_conflicts, world_conflicts
from aixmeg.config.rampup import rampup_problems
from aixmeg.config.root import Config, sections

FLASH_HEAD_SIZE = 256
"""Widest head that FlashAttention's kernels take."""


def conflicts(config: Config, world_size: int | None = None) -> list[str]:
    """Every broken rule of `config`; with `world_size` also those that depend on the number of ranks."""
    found = [*_ranges(config), *_shares(config), *_model(config), *layout_conflicts(config)]
    found += [*fp8_conflicts(config), *_optimizer(config), *_documents(config), *_infills(config)]
    found += _attention(config)
    found += blend_problems(config.train.blend, order=config.data.packing.order)
    train = config.train
    found += rampup_problems(train.global_batch_size, train.rampup_batch_size, order=config.data.packing.order)
    for path, section in sections(config):  # the rules of one sub-section stand in its own class
        if hasattr(section, "problems"):
            found += section.problems(path)
    if world_size is not None:
        found += world_conflicts(config, world_size)
    return found


_POSITIVE = {
    "tokenizer": ("vocab_size",),
    "data": ("max_middle_bytes",),
    "model": ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups",
              "seq_length", "vocab_size", "rotary_base", "layernorm_epsilon", "init_method_std"),
    "parallel": ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size"),
    "optimizer": ("lr", "adam_eps"),
    "train": ("steps", "global_batch_size", "micro_batch_size", "log_interval", "eval_samples",
              "eval_infill_tokens", "eval_infill_context", "num_threads"),
}  # fmt: skip
_NOT_NEGATIVE = {
    "corpus": ("min_file_bytes", "max_file_bytes", "max_repository_bytes", "workers"),
    "tokenizer": ("max_training_bytes", "seed"),
    "data": ("seed", "epoch", "workers"),
    "optimizer": ("min_lr", "warmup_steps", "weight_decay", "clip_grad"),
    "train": ("eval_interval", "eval_infills", "save_interval", "keep_checkpoints", "seed"),
}


def _ranges(config: Config) -> Iterator[str]:
    for table, word, broken in ((_POSITIVE, "positive", 0), (_NOT_NEGATIVE, "zero or more", -1)):
        for section, names in table.items():
            for name in names:
                value = getattr(getattr(config, section), name)
                if value <= 0 and (broken == 0 or value < 0):
                    yield f"{section}.{name}={value} must be {word}"
    optional = (("model", "kv_channels"), ("parallel", "virtual_pipeline_model_parallel_size"),
                ("train", "cross_entropy_chunk_rows"))  # fmt: skip
    for section, name in optional:
        value = getattr(getattr(config, section), name)
        if value is not None and value <= 0:
            yield f"{section}.{name}={value} must be positive, or null"


def _shares(config: Config) -> Iterator[str]:
    data = config.data
    fields = {
        "data.ntp_share": data.ntp_share,
        "data.fim_share": data.fim_share,
        "data.spm_share": data.spm_share,
        "data.valid_share": data.valid_share,
        "corpus.max_error_share": config.corpus.max_error_share,
    }
    for name, value in fields.items():
        if not 0.0 <= value <= 1.0:
            yield f"{name}={value} must be between 0 and 1"
    if data.ntp_share + data.fim_share > 1.0 + 1e-9:
        total = data.ntp_share + data.fim_share
        yield (
            f"data.ntp_share={data.ntp_share} + data.fim_share={data.fim_share} = {total:g} exceeds 1; "
            "the rest is structured FIM, so lower one of them"
        )
    if config.corpus.max_file_bytes < config.corpus.min_file_bytes:
        yield (
            f"corpus.max_file_bytes={config.corpus.max_file_bytes} is below "
            f"corpus.min_file_bytes={config.corpus.min_file_bytes}; every file would be dropped"
        )


def _model(config: Config) -> Iterator[str]:
    model = config.model
    if min(model.hidden_size, model.num_attention_heads, model.num_query_groups) <= 0:
        return
    if model.kv_channels is None and model.hidden_size % model.num_attention_heads:
        yield (
            f"model.hidden_size={model.hidden_size} is not divisible by "
            f"model.num_attention_heads={model.num_attention_heads}; choose {divisors(model.hidden_size)}, "
            "or set model.kv_channels"
        )
    elif model.head_size % 2:
        yield f"head size {model.head_size} is odd; the rotary embedding rotates pairs, so choose an even one"
    if model.num_attention_heads % model.num_query_groups:
        yield (
            f"model.num_attention_heads={model.num_attention_heads} is not divisible by "
            f"model.num_query_groups={model.num_query_groups}; choose {divisors(model.num_attention_heads)}"
        )
    if model.vocab_size != config.tokenizer.vocab_size:
        yield (
            f"model.vocab_size={model.vocab_size} differs from tokenizer.vocab_size="
            f"{config.tokenizer.vocab_size}; set both to the same number"
        )


def _infills(config: Config) -> Iterator[str]:
    train, room = config.train, min(config.train.eval_infill_context, config.model.seq_length)
    if train.eval_infills > 0 and train.eval_infill_tokens < 2:
        yield f"train.eval_infill_tokens={train.eval_infill_tokens} leaves no token beside the closing one; raise it"
    elif train.eval_infills > 0 and train.eval_infill_tokens >= room:
        yield (
            f"train.eval_infill_tokens={train.eval_infill_tokens} leaves no room for a prompt in {room} tokens, the "
            f"lower of train.eval_infill_context={train.eval_infill_context} and model.seq_length="
            f"{config.model.seq_length}; lower it, or set train.eval_infills=0"
        )


def _documents(config: Config) -> Iterator[str]:
    train = config.train
    if train.reset_position_ids and train.document_mask is None:
        yield "train.reset_position_ids=true needs train.document_mask: example or repository; set it, or leave it out"
    if train.document_mask is not None and config.model.layer_set != "native":
        yield (
            f"train.document_mask={train.document_mask} needs model.layer_set=native, not {config.model.layer_set}; "
            "change the layer set, or set document_mask to null"
        )


def _attention(config: Config) -> Iterator[str]:
    model, train = config.model, config.train
    if model.attention_backend == "sdpa" and model.layer_set == "te":
        yield "model.attention_backend=sdpa needs model.layer_set=native; te knows auto and flash"
    if model.attention_backend != "flash":
        return
    if train.precision != "bf16":
        yield (
            f"model.attention_backend=flash needs train.precision=bf16, not {train.precision}; change the precision, "
            "or set attention_backend to auto"
        )
    if model.layer_set == "native" and model.num_attention_heads > 0 and model.head_size > FLASH_HEAD_SIZE:
        yield (
            f"model.attention_backend=flash takes heads of at most {FLASH_HEAD_SIZE}, not {model.head_size}; lower "
            "model.kv_channels, or set attention_backend to auto"
        )


def _optimizer(config: Config) -> Iterator[str]:
    optimizer, train = config.optimizer, config.train
    if optimizer.min_lr > optimizer.lr:
        yield f"optimizer.min_lr={optimizer.min_lr} is above optimizer.lr={optimizer.lr}; lower it"
    end = optimizer.decay_steps if optimizer.decay_steps is not None else train.steps
    if optimizer.warmup_steps >= end:
        yield (
            f"optimizer.warmup_steps={optimizer.warmup_steps} leaves no step for the decay, which ends at {end}; "
            "shorten the warmup"
        )
    for name in ("exp_avg_dtype", "exp_avg_sq_dtype"):
        if getattr(optimizer, name) != "bf16":
            continue
        if not config.parallel.use_distributed_optimizer:
            yield f"optimizer.{name}=bf16 needs parallel.use_distributed_optimizer=true; set it, or choose fp32"
        if optimizer.backend not in ("auto", "aixmeg"):
            yield f"optimizer.{name}=bf16 needs optimizer.backend=aixmeg, not {optimizer.backend}"
    for name in ("adam_beta1", "adam_beta2"):
        value = getattr(optimizer, name)
        if not 0.0 <= value < 1.0:
            yield f"optimizer.{name}={value} must be at least 0 and below 1"
