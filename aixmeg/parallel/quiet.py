"""Silences the messages of megatron-core and torch that tell a user nothing, one pattern each; all others remain."""

from __future__ import annotations

import functools
import logging
import warnings

_WARNINGS = (
    # What megatron-core's defaults would have used; our layer sets name their modules, `aixmeg doctor` prints them.
    r"(Transformer Engine and )?Apex (is|are) not installed\. Falling back to",
    # megatron-core's own use of names that torch renamed.
    r"`?torch\.distributed\.(_all_gather_base|_reduce_scatter_base|all_gather_into_tensor|reduce_scatter_tensor)`? is ",
    r"`load_state_dict` is deprecated and will be removed in future versions",
    r"Please use DTensor instead and we are deprecating ShardedTensor",
    # Said of every layer set, and our own attention is not Transformer Engine's.
    r"If you are using transformer_engine as the transformer implementation, the core_attn is from transformer_engine",
    # The distributed optimizer looks whether its shards, which are views, have a gradient.
    r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed",
)
_LOGGED = {
    # The CPU generator is the one that the tracker forks where there is no CUDA.
    "megatron.core.tensor_parallel.random": "CPU RNG state changed within GPU RNG context",
}


@functools.cache
def install() -> None:
    """Add the filters to this process."""
    for pattern in _WARNINGS:
        warnings.filterwarnings("ignore", message=pattern)
    for name, text in _LOGGED.items():
        logging.getLogger(name).addFilter(_without(text))


def _without(text: str) -> logging.Filter:
    class Without(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            return text not in record.getMessage()

    return Without()
