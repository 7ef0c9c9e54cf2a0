"""Orders that are functions of a key: nothing is stored, and any place of a huge order is computed by itself."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

_ROUNDS: Final = 6
_WORD: Final = (1 << 64) - 1


def permutation(count: int, seed: int, epoch: int, purpose: str) -> np.ndarray:
    """A permutation of range(count), int64, that depends on nothing but the arguments; it takes 24 bytes per number.

    It sorts Philox's raw output, whose stream numpy keeps stable between versions (a Generator's is not promised).
    """
    raw = np.random.Philox(key=int.from_bytes(_digest(seed, epoch, purpose), "little")).random_raw(count)
    return np.argsort(raw, kind="stable")


class Shuffle:
    """A permutation of range(count) in constant memory: `shuffle[i]`.

    A Feistel network over the next power of four, whose result is put in again until it is below `count`, at most four
    times on average (cycle walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002).
    """

    def __init__(self, count: int, seed: int, epoch: int, purpose: str) -> None:
        self._count = count
        self._half = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half) - 1
        digest = _digest(seed, epoch, purpose)
        keys = hashlib.blake2b(digest, digest_size=8 * _ROUNDS).digest()
        self._keys = [int.from_bytes(keys[8 * i : 8 * i + 8], "little") for i in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        """What stands at place `index`."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        value = self._once(index)
        while value >= self._count:
            value = self._once(value)
        return value

    def _once(self, value: int) -> int:
        left, right = value >> self._half, value & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mix(right ^ key) & self._mask)
        return left << self._half | right


def _mix(value: int) -> int:
    """Spread 64 bits (the finaliser of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _WORD
    return value ^ value >> 31


def _digest(seed: int, epoch: int, purpose: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{epoch}/{purpose}".encode(), digest_size=16).digest()
