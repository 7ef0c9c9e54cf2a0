"""All documents of a micro-batch in one FlashAttention call (Dao, arXiv 2307.08691), where a GPU has it.

Its kernels for sequences of different lengths take them laid one behind the other, with where each begins; causal
attention of fewer queries than keys is aligned at the end. A sample of fifty documents is then one launch and not
fifty. They come from torch (`torch.nn.attention.varlen`) or from the package flash-attn, and compute in bf16 and fp16.

Legend: `s` sequence, `n` some of its tokens, `b` batch, `np` query heads, `ng` key-value groups, `hn` head size.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from aixmeg.config import Config
from aixmeg.errors import UserError


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
    """Whose kernel there is, and how to call it; None without one."""
    return (_of_torch() or _of_flash_attn()) if torch.cuda.is_available() else None


def _of_torch() -> tuple[str, Varlen] | None:
    try:
        varlen_attn: Any = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    except (ImportError, AttributeError):
        return None
    if not {"window_size", "enable_gqa", "scale"} <= inspect.signature(varlen_attn).parameters.keys():
        return None  # torch 2.10's had another interface, without grouped queries

    def attend(
        query: Tensor, key: Tensor, value: Tensor, starts: tuple[Tensor, Tensor], longest: tuple[int, int],
        *, scale: float | None,
    ) -> Tensor:  # fmt: skip
        return varlen_attn(query, key, value, *starts, *longest, scale=scale, window_size=(-1, 0), enable_gqa=True)

    return "torch.nn.attention.varlen", attend


def _of_flash_attn() -> tuple[str, Varlen] | None:
    try:
        function: Any = importlib.import_module("flash_attn").flash_attn_varlen_func
    except (ImportError, AttributeError):
        return None

    def attend(
        query: Tensor, key: Tensor, value: Tensor, starts: tuple[Tensor, Tensor], longest: tuple[int, int],
        *, scale: float | None,
    ) -> Tensor:  # fmt: skip
        return function(query, key, value, *starts, *longest, softmax_scale=scale, causal=True)

    return "flash-attn", attend


def require_backend(config: Config, device: torch.device) -> None:
    """Refuse `model.attention_backend=flash` where it cannot be had.

    Raises:
        UserError: names what is missing.
    """
    model, train = config.model, config.train
    if model.attention_backend != "flash" or model.layer_set != "native":
        return
    lacking = []
    if device.type != "cuda":
        lacking.append(f"a GPU, and this rank trains on {device}")
    if train.precision != "bf16":
        lacking.append(f"train.precision=bf16, not {train.precision}")
    if train.document_mask is not None and find_varlen() is None:
        lacking.append(f"torch.nn.attention.varlen or flash-attn for train.document_mask={train.document_mask}")
    if lacking:
        raise UserError(
            f"model.attention_backend=flash needs {'; and '.join(lacking)}; set model.attention_backend to auto"
        )


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
    n, b = query.shape[:2]
    stop = first + n
    packed = packing(tuple(map(tuple, documents.tolist())), first, stop)
    keys, values = (
        torch.cat([x[begin:stop, row] for row, begin in enumerate(packed.first_keys)]) for x in (key, value)
    )
    starts = tuple(_on_device(numbers, query.device) for numbers in (packed.query_starts, packed.key_starts))
    out = varlen(query.transpose(0, 1).flatten(0, 1), keys, values, starts, packed.longest, scale=scale)  # type: ignore[arg-type]
    return out.unflatten(0, (b, n)).transpose(0, 1).flatten(2)


def _starts(lengths: list[int]) -> tuple[int, ...]:
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    return tuple(starts)


@functools.lru_cache(maxsize=8)  # shared by all layers of a micro-batch
def _on_device(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=torch.int32, device=device)
