"""Order by content: TF-IDF vectors, k-means, clusters end to end, neighbours in a cluster alike (arXiv 2410.13187).

n files, 256 dimensions. Everything that is compared is an integer (csrc/data/similarity.cpp), so that the order is the
same on every machine.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
from collections.abc import Callable
from typing import Final

import numpy as np

from aixmeg.native.library import data_library

DIMS: Final = 256
_BUCKETS: Final = 1 << 16
_MAX_CLUSTERS: Final = 512
_ROUNDS: Final = 8
_MAX_CHAIN: Final = 4096
"""Longest chain of neighbours, which takes quadratic time; a larger cluster is chained piece by piece."""
_POINTER: Final = ctypes.c_void_p


def content_order(count: int, read: Callable[[int], bytes], *, cluster_files: int, key: str) -> list[int]:
    """A permutation of range(count) in which alike files stand together.

    Args:
        count: number of files.
        read: content of file i; read once, one at a time.
        cluster_files: mean number of files in a cluster.
        key: decides where the clusters begin.
    """
    if count < 3:
        return list(range(count))
    vectors = term_vectors(count, read)
    clusters = min(_MAX_CLUSTERS, max(1, count // cluster_files))
    cluster, centroids = _kmeans(vectors, _seeds(count, clusters, key))
    # Clusters one after the other, each next to the one that it is most like.
    used = np.unique(cluster)
    rank = np.empty(clusters, np.int64)
    rank[_chain(centroids, used, centroids[used[0]])] = np.arange(len(used))
    result: list[int] = []
    for number in np.argsort(rank[used], kind="stable"):
        members = np.flatnonzero(cluster == used[number])
        start = centroids[used[number]]
        for first in range(0, len(members), _MAX_CHAIN):
            result += _chain(vectors, members[first : first + _MAX_CHAIN], start).tolist()
    return result


def term_vectors(count: int, read: Callable[[int], bytes]) -> np.ndarray:
    """TF-IDF of the files' words, hashed: int16 [count, 256], each row of length 16,384 or zero."""
    library = _library()
    scratch, buckets = np.zeros(_BUCKETS, np.uint32), np.empty(_BUCKETS, np.uint16)
    counts = np.empty(_BUCKETS, np.uint32)
    terms: list[tuple[np.ndarray, np.ndarray]] = []
    frequency = np.zeros(_BUCKETS, np.int64)
    for index in range(count):
        text = read(index)
        found = library.aixmeg_term_counts(
            text, len(text), scratch.ctypes.data, buckets.ctypes.data, counts.ctypes.data, _BUCKETS
        )
        terms.append((buckets[:found].copy(), counts[:found].copy()))
        frequency[buckets[:found]] += 1
    idf = np.log2(count / np.maximum(frequency, 1))
    vectors = np.zeros((count, DIMS), np.int16)
    for index, (bucket, number) in enumerate(terms):
        library.aixmeg_term_vector(
            bucket.ctypes.data, number.ctypes.data, len(bucket), idf.ctypes.data, vectors[index].ctypes.data
        )
    return vectors


def _seeds(count: int, clusters: int, key: str) -> np.ndarray:
    """The files at which the clusters begin: those with the smallest hashes, int32 [clusters]."""
    hashes = [hashlib.blake2b(f"{key}\0{index}".encode(), digest_size=8).digest() for index in range(count)]
    return np.array(sorted(sorted(range(count), key=hashes.__getitem__)[:clusters]), np.int32)


def _kmeans(vectors: np.ndarray, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each vector, int32 [n], and the centroids, int16 [clusters, 256]."""
    cluster, centroids = np.empty(len(vectors), np.int32), np.empty((len(seeds), DIMS), np.int16)
    _library().aixmeg_spherical_kmeans(
        vectors.ctypes.data, len(vectors), seeds.ctypes.data, len(seeds), _ROUNDS, cluster.ctypes.data,
        centroids.ctypes.data,
    )  # fmt: skip
    return cluster, centroids


def _chain(vectors: np.ndarray, chosen: np.ndarray, start: np.ndarray) -> np.ndarray:
    """`chosen` in another order: each next to the one most like it, the first most like `start`."""
    order = np.ascontiguousarray(chosen, np.int32)
    begin = np.ascontiguousarray(start)
    _library().aixmeg_nearest_chain(vectors.ctypes.data, order.ctypes.data, len(order), begin.ctypes.data)
    return order


@functools.cache
def _library() -> ctypes.CDLL:
    library, size = data_library(), ctypes.c_int64
    library.aixmeg_term_counts.argtypes = [ctypes.c_char_p, size, _POINTER, _POINTER, _POINTER, size]
    library.aixmeg_term_counts.restype = size
    library.aixmeg_term_vector.argtypes = [_POINTER, _POINTER, size, _POINTER, _POINTER]
    library.aixmeg_term_vector.restype = None
    library.aixmeg_spherical_kmeans.argtypes = [_POINTER, size, _POINTER, size, ctypes.c_int32, _POINTER, _POINTER]
    library.aixmeg_spherical_kmeans.restype = None
    library.aixmeg_nearest_chain.argtypes = [_POINTER, _POINTER, size, _POINTER]
    library.aixmeg_nearest_chain.restype = None
    return library
