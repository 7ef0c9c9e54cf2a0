"""All documents of a micro-batch in one FlashAttention call (Dao, arXiv 2307.08691), where a GPU has it.

Its kernels for sequences of different lengths take them laid one behind the other, with where each begins; causal
attention of fewer queries than keys is aligned at the end. A sample of fifty documents is then one launch and not
fifty. They come from torch (`torch.nn.attention.varlen`) or from the package flash-attn, need a GPU of compute
capability 8.0 (Ampere) or newer, and compute in bf16 and fp16 with heads of at most 256.

Legend: `s` sequence, `n` some of its tokens, `b` batch, `np` query heads, `ng` key-value groups, `hn` head size.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from aixmeg.config import Config
from aixmeg.config.validate import FLASH_HEAD_SIZE
from aixmeg.errors import UserError

Backend = Literal["auto", "flash", "sdpa"]
"""`model.attention_backend`."""
_CAPABILITY = (8, 0)
_HEAD_UNIT = 8
"""torch's kernel takes heads of a multiple of this; flash-attn's own wrapper pads them."""


class Varlen(Protocol):
    """Causal attention inside each of several sequences that lie one behind the other."""

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        starts: tuple[Tensor, Tensor],
        longest: tuple[int, int],
        *,
        scale: float | None,
    ) -> Tensor:
        """`[n, np, hn]` queries, `[m, ng, hn]` keys and values → `[n, np, hn]`.

        `starts` of queries and keys are int32 `[sequences + 1]`, the last entry being what follows the last sequence.
        """
        ...


@functools.cache
def find_varlen() -> tuple[str, Varlen] | None:
    """Whose kernel there is for this process's GPU, and how to call it; None without one."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < _CAPABILITY:
        return None
    return _of_torch() or _of_flash_attn()


def varlen_for(query: Tensor, backend: Backend) -> Varlen | None:
    """The kernel that takes these queries `[n, b, np, hn]`; None where each document must be a call of its own."""
    if backend == "sdpa" or not query.is_cuda or query.dtype not in (torch.bfloat16, torch.float16):
        return None
    found = find_varlen() if query.shape[-1] <= FLASH_HEAD_SIZE else None
    return None if found is None else found[1]


def _of_torch() -> tuple[str, Varlen] | None:
    function = _function("torch.nn.attention.varlen", "varlen_attn", {"window_size", "scale"})
    if function is None:
        return None
    grouped = "enable_gqa" in inspect.signature(function).parameters

    def attend(
        query: Tensor, key: Tensor, value: Tensor, starts: tuple[Tensor, Tensor], longest: tuple[int, int],
        *, scale: float | None,
    ) -> Tensor:  # fmt: skip
        options = {"enable_gqa": True} if grouped else {}
        if not grouped:  # torch 2.11 documents as many key heads as query heads
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
        return function(query, key, value, *starts, *longest, scale=scale, window_size=(-1, 0), **options)

    return "torch.nn.attention.varlen", attend


def _of_flash_attn() -> tuple[str, Varlen] | None:
    # Both arguments came after 2.1, which moved the causal mask from the first key to the last.
    function = _function("flash_attn", "flash_attn_varlen_func", {"window_size", "deterministic"})
    if function is None:
        return None

    def attend(
        query: Tensor, key: Tensor, value: Tensor, starts: tuple[Tensor, Tensor], longest: tuple[int, int],
        *, scale: float | None,
    ) -> Tensor:  # fmt: skip
        exact = torch.are_deterministic_algorithms_enabled()  # torch's own kernel looks there itself
        return function(query, key, value, *starts, *longest, softmax_scale=scale, causal=True, deterministic=exact)

    return "flash-attn", attend


def _function(module: str, name: str, arguments: set[str]) -> Callable[..., Tensor] | None:
    """The function where it can be imported and has these arguments, else None."""
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError):  # flash-attn built for another torch lacks symbols
        return None
    return function if arguments <= inspect.signature(function).parameters.keys() else None


def require_backend(config: Config, device: torch.device) -> None:
    """Refuse `model.attention_backend=flash` where this device or installation has it not; what the configuration
    alone rules out, `aixmeg.config.validate` says before.

    Raises:
        UserError: names what is missing.
    """
    model, train = config.model, config.train
    if model.attention_backend != "flash" or model.layer_set != "native":
        return
    lacking = ""
    if device.type != "cuda":
        lacking = f"a GPU, and this rank trains on {device}"
    elif (capability := torch.cuda.get_device_capability(device)) < _CAPABILITY:
        lacking = f"a GPU of compute capability 8.0 or newer, not {'.'.join(map(str, capability))}"
    elif train.document_mask is not None and find_varlen() is None:
        lacking = (
            f"torch.nn.attention.varlen or flash-attn for train.document_mask={train.document_mask}, and neither can "
            "be imported here"
        )
    if lacking:
        raise UserError(f"model.attention_backend=flash needs {lacking}; set model.attention_backend to auto")


@dataclass(frozen=True, kw_only=True)
class Packing:
    """Which queries and keys of a micro-batch meet, a sequence of the kernel's per document that has queries."""

    query_starts: tuple[int, ...]
    key_starts: tuple[int, ...]
    longest: tuple[int, int]
    """Queries and keys of the longest."""
    first_keys: tuple[int, ...]
    """Position of the first key that each row of the batch needs; all up to the last query follow."""


@functools.lru_cache(maxsize=8)
def packing(documents: tuple[tuple[int, int, int, int], ...], first: int, stop: int) -> Packing:
    """For the tokens at positions first … stop - 1 of every row; `documents` are the rows of `document_table`."""
    meeting = [(row, begin, end) for row, begin, end, _ in documents if begin < stop and end > first]
    queries = [min(end, stop) - max(begin, first) for _, begin, end in meeting]
    keys = [min(end, stop) - begin for _, begin, end in meeting]
    first_keys: dict[int, int] = {}
    for row, begin, _ in meeting:
        first_keys.setdefault(row, begin)
    return Packing(
        query_starts=_starts(queries), key_starts=_starts(keys), longest=(max(queries), max(keys)),
        first_keys=tuple(first_keys.values()),
    )  # fmt: skip


def attend_packed(
    varlen: Varlen,
    query: Tensor,  # [n, b, np, hn]
    key: Tensor,  # [s, b, ng, hn]
    value: Tensor,  # [s, b, ng, hn]
    documents: Tensor,
    *,
    first: int = 0,
    scale: float | None = None,
) -> Tensor:
    """What `attend_by_document` gives, `[n, b, np * hn]`, in one call of `varlen`."""
    n, b, _, hn = query.shape
    packed = packing(tuple(map(tuple, documents.tolist())), first, first + n)
    keys, values = (
        torch.cat([x[begin : first + n, row] for row, begin in enumerate(packed.first_keys)]) for x in (key, value)
    )
    parts = (query.transpose(0, 1).flatten(0, 1), keys, values)  # [tokens, heads, hn]
    if wanting := -hn % _HEAD_UNIT:  # zeros add nothing to scores, and to results columns that are cut off again
        parts = tuple(torch.nn.functional.pad(x, (0, wanting)) for x in parts)
    starts = tuple(_on_device(numbers, query.device) for numbers in (packed.query_starts, packed.key_starts))
    out = varlen(*parts, starts, packed.longest, scale=hn**-0.5 if scale is None else scale)  # type: ignore[arg-type]
    return out[..., :hn].unflatten(0, (b, n)).transpose(0, 1).flatten(2)


def _starts(lengths: list[int]) -> tuple[int, ...]:
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return tuple(starts)


@functools.lru_cache(maxsize=8)  # shared by all layers of a micro-batch
def _on_device(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.int32, device=device)
