"""Rules that span fields or sections. Each returns a sentence with the values, the rule and the remedy."""

from __future__ import annotations

from collections.abc import Iterator

from aixmeg.config.fp8 import fp8_conflicts
from aixmeg.config.root import Config, sections


def conflicts(config: Config, world_size: int | None = None) -> list[str]:
    """Every broken rule of `config`; with `world_size` also those that depend on the number of ranks."""
    found = [*_ranges(config), *_shares(config), *_model(config), *_parallel(config), *_pipeline(config)]
    found += [*fp8_conflicts(config), *_optimizer(config)]
    for path, section in sections(config):  # the rules of one sub-section stand in its own class
        if hasattr(section, "problems"):
            found += section.problems(path)
    if world_size is not None:
        found += _world(config, world_size)
    return found


def divisors(number: int) -> str:
    """`1, 2, 3, 4, 6 …`: what a divisibility error offers."""
    found = [str(n) for n in range(1, min(number, 4096) + 1) if number % n == 0]
    return ", ".join(found[:8]) + (" …" if len(found) > 8 else "")


_POSITIVE = {
    "tokenizer": ("vocab_size",),
    "data": ("max_middle_bytes",),
    "model": ("num_layers", "hidden_size", "ffn_hidden_size", "num_attention_heads", "num_query_groups",
              "seq_length", "vocab_size", "rotary_base", "layernorm_epsilon", "init_method_std"),
    "parallel": ("tensor_model_parallel_size", "pipeline_model_parallel_size"),
    "optimizer": ("lr", "adam_eps"),
    "train": ("steps", "global_batch_size", "micro_batch_size", "log_interval", "eval_samples", "num_threads"),
}  # fmt: skip
_NOT_NEGATIVE = {
    "corpus": ("min_file_bytes", "max_file_bytes", "max_repository_bytes", "workers"),
    "tokenizer": ("max_training_bytes", "seed"),
    "data": ("seed", "epoch", "workers"),
    "optimizer": ("min_lr", "warmup_steps", "weight_decay", "clip_grad"),
    "train": ("eval_interval", "save_interval", "keep_checkpoints", "seed"),
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


def _parallel(config: Config) -> Iterator[str]:
    model, parallel = config.model, config.parallel
    tp = parallel.tensor_model_parallel_size
    if tp <= 0:
        return
    for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size", "vocab_size"):
        value = getattr(model, name)
        if value % tp:
            yield (
                f"model.{name}={value} is not divisible by parallel.tensor_model_parallel_size={tp}; "
                f"choose {divisors(value)}"
            )
    if parallel.sequence_parallel and tp == 1:
        yield (
            "parallel.sequence_parallel=true needs parallel.tensor_model_parallel_size of 2 or more; it is 1, "
            "so set sequence_parallel to false"
        )
    if parallel.sequence_parallel and model.seq_length % tp:
        yield (
            f"model.seq_length={model.seq_length} is not divisible by parallel.tensor_model_parallel_size={tp}, "
            f"which sequence_parallel requires; choose {divisors(model.seq_length)}"
        )
    if parallel.overlap_param_gather and not (parallel.overlap_grad_reduce and parallel.use_distributed_optimizer):
        yield (
            "parallel.overlap_param_gather=true needs overlap_grad_reduce=true and use_distributed_optimizer=true; "
            "set both, or turn it off"
        )


def _pipeline(config: Config) -> Iterator[str]:
    model, parallel = config.model, config.parallel
    pp, vpp = parallel.pipeline_model_parallel_size, parallel.virtual_pipeline_model_parallel_size
    chunks = pp * (vpp or 1)
    if chunks > 0 and model.num_layers % chunks:
        product = f"{pp} stages" if vpp is None else f"{pp} stages x {vpp} chunks"
        yield (
            f"model.num_layers={model.num_layers} is not divisible by the pipeline's {product}; "
            f"choose a product among {divisors(model.num_layers)}"
        )
    if vpp is not None and pp < 2:
        yield (
            f"parallel.virtual_pipeline_model_parallel_size={vpp} needs pipeline_model_parallel_size of 2 or more; "
            f"it is {pp}, so set the virtual size to null"
        )
    if vpp is not None and not parallel.overlap_p2p_comm:
        yield (
            f"parallel.virtual_pipeline_model_parallel_size={vpp} needs parallel.overlap_p2p_comm=true: without it "
            "megatron-core's interleaved schedule returns wrong gradients and no error"
        )
    if parallel.overlap_p2p_comm and vpp is None:
        yield (
            "parallel.overlap_p2p_comm=true is used by the interleaved schedule alone; "
            "set virtual_pipeline_model_parallel_size, or turn it off"
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


def _world(config: Config, world_size: int) -> Iterator[str]:
    parallel, train = config.parallel, config.train
    size = parallel.model_parallel_size
    if size <= 0 or train.micro_batch_size <= 0:
        return
    if world_size % size:
        yield (
            f"{world_size} ranks cannot hold whole copies of the model: tensor {parallel.tensor_model_parallel_size}"
            f" x pipeline {parallel.pipeline_model_parallel_size} = {size} ranks each; start a multiple of {size}"
        )
        return
    dp = world_size // size
    per_step = train.micro_batch_size * dp
    if train.global_batch_size % per_step:
        yield (
            f"train.global_batch_size={train.global_batch_size} is not divisible by micro_batch_size="
            f"{train.micro_batch_size} x {dp} data-parallel ranks = {per_step}; choose a multiple of {per_step}"
        )
        return
    microbatches = train.global_batch_size // per_step
    pp, vpp = parallel.pipeline_model_parallel_size, parallel.virtual_pipeline_model_parallel_size
    if vpp is not None and microbatches % pp:
        yield (
            f"{microbatches} micro-batches per step are not divisible by pipeline_model_parallel_size={pp}, which the "
            "interleaved schedule requires; change train.global_batch_size"
        )
