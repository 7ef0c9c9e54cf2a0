"""Rules of the layout, which span the sections `parallel`, `model` and `train`: sentences with values and remedy."""

from __future__ import annotations

from collections.abc import Iterator

from aixmeg.config.rampup import rampup_problems, stages
from aixmeg.config.root import Config
from aixmeg.config.sections import TrainConfig


def layout_conflicts(config: Config) -> Iterator[str]:
    """Every broken rule that does not depend on the number of ranks."""
    yield from _tensor(config)
    yield from _context(config)
    yield from _pipeline(config)
    yield from _recompute(config)
    parallel = config.parallel
    if parallel.overlap_param_gather and not (parallel.overlap_grad_reduce and parallel.use_distributed_optimizer):
        yield (
            "parallel.overlap_param_gather=true needs overlap_grad_reduce=true and use_distributed_optimizer=true; "
            "set both, or turn it off"
        )


def world_conflicts(config: Config, world_size: int) -> Iterator[str]:
    """Every broken rule that depends on the number of ranks."""
    parallel, train = config.parallel, config.train
    size = parallel.model_parallel_size
    if size <= 0 or train.micro_batch_size <= 0:
        return
    if world_size % size:
        yield (
            f"{world_size} ranks cannot hold whole copies of the model: tensor {parallel.tensor_model_parallel_size}"
            f"{_times_context(config)} x pipeline {parallel.pipeline_model_parallel_size} = {size} ranks each; start a "
            f"multiple of {size}"
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
        return
    yield from _rampup(train, per_step * (1 if vpp is None else pp))


def _rampup(train: TrainConfig, unit: int) -> Iterator[str]:
    """Every batch size on the way to the last must divide as the last does."""
    if any(rampup_problems(train.global_batch_size, train.rampup_batch_size, order="shuffle")):
        return
    broken = [one.size for one in stages(train.global_batch_size, train.rampup_batch_size) if one.size % unit]
    if broken:
        yield (
            f"train.rampup_batch_size={list(train.rampup_batch_size or ())} has steps of {broken[0]} samples, which is "
            f"no multiple of the {unit} that all ranks take at once; choose a first size and an increment that are"
        )


def divisors(number: int) -> str:
    """`1, 2, 3, 4, 6 …`: what a divisibility error offers."""
    found = [str(n) for n in range(1, min(number, 4096) + 1) if number % n == 0]
    return ", ".join(found[:8]) + (" …" if len(found) > 8 else "")


def _times_context(config: Config) -> str:
    size = config.parallel.context_parallel_size
    return "" if size == 1 else f" x context {size}"


def _tensor(config: Config) -> Iterator[str]:
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
    part = model.seq_length // max(parallel.context_parallel_size, 1)
    if parallel.sequence_parallel and part % tp:
        yield (
            f"model.seq_length={model.seq_length}{'' if part == model.seq_length else f', of which a rank has {part},'}"
            f" is not divisible by parallel.tensor_model_parallel_size={tp}, "
            f"which sequence_parallel requires; choose {divisors(part)}"
        )


def _context(config: Config) -> Iterator[str]:
    size, length = config.parallel.context_parallel_size, config.model.seq_length
    if size > 1 and length % (2 * size):
        yield (
            f"model.seq_length={length} is not divisible by 2 x parallel.context_parallel_size={size}, since each rank "
            f"takes two chunks of equal length; choose a context_parallel_size among {divisors(length // 2)}"
        )


def _pipeline(config: Config) -> Iterator[str]:
    parallel = config.parallel
    pp, vpp = parallel.pipeline_model_parallel_size, parallel.virtual_pipeline_model_parallel_size
    if pp > 0 and (vpp is None or vpp > 0):
        yield from _split(config)
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


def _split(config: Config) -> Iterator[str]:
    """Layers over stages: evenly, evenly with the embedding or the loss as one more, or with given ends."""
    model, parallel = config.model, config.parallel
    pp, vpp = parallel.pipeline_model_parallel_size, parallel.virtual_pipeline_model_parallel_size
    stages = f"{pp} stages" if vpp is None else f"{pp} stages x {vpp} chunks"
    first, last = parallel.num_layers_in_first_pipeline_stage, parallel.num_layers_in_last_pipeline_stage
    embedding, loss = parallel.account_for_embedding_in_pipeline_split, parallel.account_for_loss_in_pipeline_split
    ends = {"first": first, "last": last}
    given = {name: number for name, number in ends.items() if number is not None}
    if (given or embedding or loss) and pp < 2:
        yield (
            "parallel.num_layers_in_first_pipeline_stage and the options like it divide layers over stages; "
            f"pipeline_model_parallel_size={pp}, so leave them out"
        )
        return
    if not given:
        layers, chunks = model.num_layers + embedding + loss, pp * (vpp or 1)
        counted = "" if layers == model.num_layers else f", with embedding and loss as configured {layers},"
        if layers % chunks:
            yield (
                f"model.num_layers={model.num_layers}{counted} is not divisible by the pipeline's {stages}; "
                f"choose a product among {divisors(layers)}"
            )
        return
    if embedding or loss:
        yield (
            "parallel.num_layers_in_first_pipeline_stage and num_layers_in_last_pipeline_stage say what "
            "account_for_embedding_in_pipeline_split and account_for_loss_in_pipeline_split would; set one kind"
        )
        return
    for name, number in given.items():
        if number < 1 or number % (vpp or 1):
            yield (
                f"parallel.num_layers_in_{name}_pipeline_stage={number} must be positive and divide evenly over "
                f"{vpp or 1} chunks"
            )
    rest, middle = model.num_layers - sum(given.values()), pp - len(given)
    per_stage = middle * (vpp or 1)
    if rest < 0 or (middle == 0 and rest) or (middle and (rest == 0 or rest % per_stage)):
        yield (
            f"model.num_layers={model.num_layers} minus {' and '.join(map(str, given.values()))} in the "
            f"{' and '.join(given)} stage leaves {rest} for {middle} stages"
            f"{'' if vpp is None else f' x {vpp} chunks'}; change these numbers"
        )


def _recompute(config: Config) -> Iterator[str]:
    parallel = config.parallel
    method, number = parallel.recompute_method, parallel.recompute_num_layers
    if parallel.recompute_granularity == "full":
        if method is None or number is None:
            yield (
                f"parallel.recompute_granularity=full needs recompute_method and recompute_num_layers, which are "
                f"{method} and {number}; uniform and 1 keep the input of each layer alone"
            )
        elif number < 1:
            yield f"parallel.recompute_num_layers={number} must be positive"
    elif method is not None or number is not None:
        yield (
            f"parallel.recompute_method={method} and recompute_num_layers={number} are of recompute_granularity=full, "
            f"which is {parallel.recompute_granularity}; set them to null"
        )
    if parallel.recompute_granularity == "selective" and not parallel.recompute_modules:
        yield "parallel.recompute_granularity=selective without recompute_modules recomputes nothing; name one"
