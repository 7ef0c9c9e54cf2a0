"""MinHash signatures and the 5-grams behind them (csrc/data/minhash.cpp).

A word is a run of letters, digits, `_` and non-ASCII bytes; characters of three or four bytes (Chinese, Japanese …)
begin a new word each. So a Chinese comment counts by its characters, and files that differ only in such comments do not
look equal; punctuation, blanks and line ends do not count. A file of fewer than 5 words has no gram, and is left to
exact de-duplication.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Final

import numpy as np

from aixmeg.errors import UserError
from aixmeg.native.library import data_library

GRAM: Final = 5
"""Words per gram."""


@functools.cache
def _library() -> ctypes.CDLL:
    library = data_library()
    size, pointer, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
    library.aixmeg_minhash.argtypes = [text, size, ctypes.c_int32, pointer]
    library.aixmeg_minhash.restype = ctypes.c_int64
    library.aixmeg_sketch.argtypes = [text, size, text, size, ctypes.c_uint64, text, ctypes.c_int32, pointer, pointer]
    library.aixmeg_sketch.restype = ctypes.c_int64
    library.aixmeg_grams.argtypes = [text, size, pointer]
    library.aixmeg_grams.restype = ctypes.c_int64
    library.aixmeg_band_hashes.argtypes = [pointer, size, size, size, size, pointer]
    library.aixmeg_band_hashes.restype = None
    library.aixmeg_agreements.argtypes = [pointer, pointer, size, size, pointer]
    library.aixmeg_agreements.restype = None
    library.aixmeg_drop_in_order.argtypes = [pointer, pointer, size, ctypes.c_uint8, pointer, pointer]
    library.aixmeg_drop_in_order.restype = None
    return library


def signature(content: bytes, permutations: int) -> tuple[np.ndarray, int]:
    """MinHash signature of a file, uint16 [permutations], and its number of 5-grams, repeats included.

    Two files agree in one value with the probability of their Jaccard similarity (and by chance once in 65,536).
    `permutations` is a power of two, at most 4096. With no gram every value is 65,535.
    """
    values = np.empty(permutations, np.uint16)
    return values, _checked(_library().aixmeg_minhash(content, len(content), _bits(permutations), values.ctypes.data))


def sketch_at(
    content: bytes, path: bytes, *, repository: int, digest: bytes, permutations: int, signature: int, record: int
) -> int:
    """Write a file's signature and its `shards.RECORD` to two addresses; returns its number of 5-grams."""
    if len(digest) < 16:
        raise ValueError(f"a digest of {len(digest)} bytes does not tell contents apart; give at least 16")
    bits = permutations.bit_length() - 1
    arguments = content, len(content), path, len(path), repository, digest, bits, signature, record
    return _checked(_library().aixmeg_sketch(*arguments))


def _bits(permutations: int) -> int:
    bits = permutations.bit_length() - 1
    if permutations != 1 << bits or not 1 <= bits <= 12:
        raise ValueError(f"permutations={permutations} is not a power of two between 2 and 4096")
    return bits


def _checked(grams: int) -> int:
    if grams == -1:
        raise MemoryError
    if grams < 0:
        raise ValueError("bad arguments")
    return grams


def grams(content: bytes) -> np.ndarray:
    """The different 5-grams of a file as ascending 64-bit hashes, uint64 [n]."""
    found = np.empty(max(1, len(content)), np.uint64)
    return found[: _library().aixmeg_grams(content, len(content), found.ctypes.data)].copy()


def jaccard(left: bytes, right: bytes) -> float:
    """Exact similarity of two files: shared 5-grams over all 5-grams of either; 0.0 where neither has any."""
    a, b = grams(left), grams(right)
    shared = len(np.intersect1d(a, b, assume_unique=True))
    return shared / (len(a) + len(b) - shared) if len(a) + len(b) else 0.0


def band_hashes(signatures: np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Hashes of the first `bands` x `rows` values of each signature: uint16 [n, values] to uint64 [n, bands]."""
    signatures = np.ascontiguousarray(signatures, np.uint16)
    count, values = signatures.shape
    if bands * rows > values:
        raise ValueError(f"{bands} bands of {rows} rows need {bands * rows} values, there are {values}")
    hashes = np.empty((count, bands), np.uint64)
    _library().aixmeg_band_hashes(signatures.ctypes.data, count, values, bands, rows, hashes.ctypes.data)
    return hashes


def agreements(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """In how many values signatures agree, row by row: two uint16 [n, values] to uint32 [n]."""
    left, right = np.ascontiguousarray(left, np.uint16), np.ascontiguousarray(right, np.uint16)
    if left.shape != right.shape:
        raise ValueError(f"signatures of different shapes: {left.shape} and {right.shape}")
    equal = np.empty(len(left), np.uint32)
    _library().aixmeg_agreements(left.ctypes.data, right.ctypes.data, *left.shape, equal.ctypes.data)
    return equal


def drop_in_order(better: np.ndarray, worse: np.ndarray, dropped: int, state: np.ndarray, because: np.ndarray) -> None:
    """Mark `state[worse]` (uint8, 0 kept) as `dropped`, pair after pair, where neither of the two is dropped yet.

    The pairs, uint32 [n], stand in the order of the worse one, so that its better ones are decided. `because[worse]`
    (uint32) names the better one.
    """
    better, worse = np.ascontiguousarray(better, np.uint32), np.ascontiguousarray(worse, np.uint32)
    if len(better) and max(better.max(), worse.max()) >= min(len(state), len(because)):
        raise UserError("a pair names a document that does not exist; delete the job's folder and build again")
    _library().aixmeg_drop_in_order(
        better.ctypes.data, worse.ctypes.data, len(better), dropped, state.ctypes.data, because.ctypes.data
    )
