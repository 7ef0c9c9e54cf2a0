"""How examples fill training samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class PackingConfig:
    """How examples fill training samples; read by `aixmeg data build` and `aixmeg train` alike."""

    policy: Literal["none", "best_fit"] = "none"
    """none: the stream is cut at multiples of the sequence length, wherever that falls. best_fit: whole examples are
    put together by best-fit decreasing and the rest of a sample is padding; only next-token text is ever cut."""
    order: Literal["shuffle", "stream"] = "shuffle"
    """shuffle: samples in random order. stream: row b of a step's batch continues row b of the step before it, as in
    Transformer-XL, so that neighbouring context is seen in turn."""
