"""Rules of the FP8 options, which span the model's, the layout's and the training's sections."""

from __future__ import annotations

from collections.abc import Iterator

from aixmeg.config.root import Config

_RECIPES = {"native": ("delayed", "tensorwise", "rowwise"), "te": ("delayed", "tensorwise", "blockwise", "mxfp8")}
_UNIT = 16
"""GPU kernels for FP8 take matrices whose sizes are multiples of this."""


def fp8_conflicts(config: Config) -> Iterator[str]:
    """Every broken rule, as sentences with values and remedy."""
    model, precision = config.model, config.train.precision
    if model.fp8 is None:
        return
    recipes = _RECIPES[model.layer_set]
    if model.fp8_recipe not in recipes:
        yield (
            f"model.fp8_recipe={model.fp8_recipe} is not a recipe of model.layer_set={model.layer_set}; choose "
            f"{', '.join(recipes)}, or the other layer set"
        )
    if model.layer_set == "te" and precision != "bf16":
        yield f"model.fp8={model.fp8} with model.layer_set=te needs train.precision=bf16, not {precision}"
    if model.fp8_margin < 0:
        yield f"model.fp8_margin={model.fp8_margin} must be zero or more"
    if model.fp8_amax_history_len <= 0:
        yield f"model.fp8_amax_history_len={model.fp8_amax_history_len} must be positive"
    if model.fp8_keep_weights and model.layer_set == "te":
        yield "model.fp8_keep_weights=true is of model.layer_set=native; with te set it to false"
    yield from _kept_layers(config)
    if model.layer_set == "native":
        yield from _sizes(config)


def _kept_layers(config: Config) -> Iterator[str]:
    model = config.model
    if not model.first_last_layers_bf16:
        return
    start, end = model.num_layers_at_start_in_bf16, model.num_layers_at_end_in_bf16
    if min(start, end) < 0:
        yield (
            f"model.num_layers_at_start_in_bf16={start} and model.num_layers_at_end_in_bf16={end} must be zero or more"
        )
    elif start + end >= model.num_layers:
        yield (
            f"model.num_layers_at_start_in_bf16={start} + model.num_layers_at_end_in_bf16={end} leave none of "
            f"model.num_layers={model.num_layers} in FP8; lower them, or set model.fp8 to null"
        )
    if model.layer_set == "te" and model.fp8_recipe == "delayed":
        yield (
            "model.first_last_layers_bf16=true does not go with model.fp8_recipe=delayed in megatron-core; choose "
            "tensorwise, blockwise or mxfp8, or set it to false"
        )


def _sizes(config: Config) -> Iterator[str]:
    model, tp = config.model, config.parallel.tensor_model_parallel_size
    if tp <= 0 or min(model.num_attention_heads, model.num_query_groups) <= 0:
        return
    heads = model.num_attention_heads * model.head_size
    sizes = {
        "model.hidden_size": model.hidden_size,
        "model.ffn_hidden_size per tensor rank": model.ffn_hidden_size // tp,
        "query heads x head size per tensor rank": heads // tp,
        "query, key and value heads x head size per tensor rank": (heads + 2 * model.num_query_groups * model.head_size)
        // tp,
    }
    for name, size in sizes.items():
        if size % _UNIT:
            yield (
                f"{name} = {size} is not divisible by {_UNIT}, which FP8 matrix products on GPUs require; "
                "choose a multiple, or set model.fp8 to null"
            )
