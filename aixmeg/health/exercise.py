"""A little work for a device and for the network between ranks: is the result right, and how fast was it?

In shapes, v is the number of elements of a vector.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import Final

import torch
import torch.distributed as dist

_REPEATS: Final = 3
_WARM_SECONDS: Final = 0.5
"""A GPU that was idle needs some time of work until its clocks are up."""
_SLOW: Final = 0.85
"""A rank whose products take longer than the median rank's by this factor holds all others back."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """A matrix product, several times over."""

    tflops: float
    """Of the fastest, 2 n³ operations each."""
    right: bool
    """It agrees with the exact result, and all repeats are equal, bit for bit."""


def multiply(device: torch.device, *, size: int | None = None, seed: int = 0) -> Product:
    """Multiply two `size` × `size` matrices whose product is known exactly.

    The elements are small integers: every product and every sum of `size` of them is exact in float32, so any
    difference is a fault of the hardware. On a GPU the operands are bf16 and the sums float32, as in training.
    """
    size = size or (8192 if device.type == "cuda" else 512)
    make = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(-2, 3, (size, size), generator=make, dtype=torch.int8) for _ in range(2))
    # Row sums of the product, from the operands alone: a (b 1).
    expected = a.double() @ (b.double() @ torch.ones(size, dtype=torch.float64))
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = a.to(device, dtype), b.to(device, dtype)
    first, right_sums, seconds = None, True, []
    end = time.perf_counter() + (_WARM_SECONDS if device.type == "cuda" else 0)
    while len(seconds) < _REPEATS or time.perf_counter() < end:
        _wait(device)
        start = time.perf_counter()
        product = torch.mm(left, right, out_dtype=torch.float32) if device.type == "cuda" else left @ right
        _wait(device)
        seconds.append(time.perf_counter() - start)
        if first is None:
            first = product
            right_sums = torch.equal(product.double().sum(dim=1).cpu(), expected)
        right_sums = right_sums and torch.equal(first, product)
    return Product(tflops=2 * size**3 / min(seconds) / 1e12, right=right_sums)


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """An all-reduce over all ranks."""

    gigabytes_per_second: float
    """Bus bandwidth: bytes of one rank's vector, times 2 (n - 1) / n, by the time of the fastest."""
    right: bool
    """Every element is what the ranks' numbers add up to."""


def reduce_all(device: torch.device, *, elements: int | None = None) -> Reduction:
    """Add up a float32 vector over all ranks of torch.distributed; collective."""
    elements = elements or (1 << 26 if device.type == "cuda" else 1 << 16)
    ranks, rank = dist.get_world_size(), dist.get_rank()
    pattern = torch.arange(elements, dtype=torch.float32, device=device) % 16
    expected = pattern * (ranks * (ranks + 1) // 2)  # integers below 2**24, so exact, up to 1,400 ranks
    seconds, right = [], True
    for _ in range(_REPEATS):
        vector = pattern * (rank + 1)
        _wait(device)
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(vector)
        _wait(device)
        seconds.append(time.perf_counter() - start)
        right = right and torch.equal(vector, expected)
    moved = 4 * elements * 2 * (ranks - 1) / ranks
    return Reduction(gigabytes_per_second=moved / min(seconds) / 1e9, right=right)


def right_from_neighbour(device: torch.device, *, elements: int = 1 << 16) -> bool:
    """Send a float32 vector to the next rank and look at that of the rank before, which must be what it has sent;
    collective. Each link of the ring is used alone, so that one which damages data is known."""
    ranks, rank = dist.get_world_size(), dist.get_rank()
    pattern = torch.arange(elements, dtype=torch.float32, device=device)  # [v]
    got = torch.empty_like(pattern)
    before = (rank - 1) % ranks
    for request in dist.batch_isend_irecv(
        [dist.P2POp(dist.isend, pattern + rank, (rank + 1) % ranks), dist.P2POp(dist.irecv, got, before)]
    ):
        request.wait()
    _wait(device)
    return torch.equal(got, pattern + before)


def slow_ranks(tflops: list[float]) -> list[int]:
    """Ranks that multiply markedly slower than the median of all."""
    usual = median(tflops)
    return [rank for rank, speed in enumerate(tflops) if speed < _SLOW * usual]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
