"""What a scan leaves of each file for de-duplication: one record and one signature, in two .npy files per shard."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from aixmeg.corpus.near.sketch import sketch_at
from aixmeg.errors import UserError
from aixmeg.files import atomic_write

RECORD: Final = np.dtype(
    [
        ("repository", "<u8"),  # hash of its name
        ("path", "<u8"),  # hash of the path in the repository
        ("name", "<u8"),  # hash of the path's last part
        ("digest", "<u8", (2,)),  # of the content
        ("bytes", "<u8"),
        ("grams", "<u8"),  # 5-grams, repeats included; 0: only an equal file is its duplicate
    ]
)
_BLOCK: Final = 1024


def name_hash(name: str) -> int:
    """64 bits that stand for a name, on any machine; names that are not valid Unicode have one too."""
    return int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "little")


def documents_file(shard: Path) -> Path:
    """The records of a shard."""
    return shard.with_name(f"{shard.name}.documents.npy")


def signatures_file(shard: Path) -> Path:
    """The signatures of a shard."""
    return shard.with_name(f"{shard.name}.signatures.npy")


class Sketches:
    """Collects the files of one shard, in order; `write` publishes them."""

    def __init__(self, permutations: int) -> None:
        self._permutations = permutations
        self._records: list[np.ndarray] = []
        self._signatures: list[np.ndarray] = []
        self._count = 0
        self._repositories: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, repository: str, path: str, content: bytes, digest: bytes) -> int:
        """Sketch a file; `digest` is its SHA-256 (or at least 16 bytes of another). Returns its index in the shard."""
        at = self._count % _BLOCK
        if at == 0:
            self._signatures.append(np.empty((_BLOCK, self._permutations), np.uint16))
            self._records.append(np.empty(_BLOCK, RECORD))
            self._repositories.clear()
            self._addresses = self._signatures[-1].ctypes.data, self._records[-1].ctypes.data
        if (hashed := self._repositories.get(repository)) is None:
            hashed = self._repositories[repository] = name_hash(repository)
        signature, record = self._addresses
        sketch_at(
            content,
            path.encode("utf-8", "surrogateescape"),
            repository=hashed,
            digest=digest,
            permutations=self._permutations,
            signature=signature + at * 2 * self._permutations,
            record=record + at * RECORD.itemsize,
        )
        self._count += 1
        return self._count - 1

    def write(self, shard: Path) -> None:
        """Write `SHARD.documents.npy` and `SHARD.signatures.npy`, each atomically.

        Raises:
            UserError: the folder cannot be written.
        """
        for path, blocks, empty in (
            (signatures_file(shard), self._signatures, np.empty((0, self._permutations), np.uint16)),
            (documents_file(shard), self._records, np.empty(0, RECORD)),
        ):
            with atomic_write(path, "wb") as file:
                np.save(file, np.concatenate([empty, *blocks])[: self._count], allow_pickle=False)


class Shards:
    """The files of all shards under one numbering: those of the first shard from 0, then those of the second …"""

    def __init__(self, shards: Sequence[Path], permutations: int) -> None:
        """Map the shards' files.

        Raises:
            UserError: a file is missing, damaged, or of another `permutations`.
        """
        self.paths = tuple(shards)
        self.permutations = permutations
        self._documents = [_mapped(documents_file(shard), RECORD, 1) for shard in shards]
        self._signatures = [_mapped(signatures_file(shard), np.dtype(np.uint16), 2) for shard in shards]
        for shard, documents, signatures in zip(shards, self._documents, self._signatures, strict=True):
            if signatures.shape != (len(documents), permutations):
                raise UserError(
                    f"{signatures_file(shard)} holds {signatures.shape} values, not {(len(documents), permutations)}; "
                    "scan again with one value of near.permutations"
                )
        self.starts = np.cumsum([0, *(len(documents) for documents in self._documents)])
        if self.count >= 1 << 32:
            raise UserError(f"{self.count} files in one corpus; this version numbers at most {(1 << 32) - 1}")

    @property
    def count(self) -> int:
        """Files in all."""
        return int(self.starts[-1])

    def documents(self, shard: int) -> np.ndarray:
        """Records of a shard, RECORD [n]."""
        return self._documents[shard]

    def signatures(self, shard: int) -> np.ndarray:
        """Signatures of a shard, uint16 [n, permutations]."""
        return self._signatures[shard]

    def rows(self, documents: np.ndarray) -> np.ndarray:
        """Signatures of any files, by number: [n] to uint16 [n, permutations]."""
        rows = np.empty((len(documents), self.permutations), np.uint16)
        shard_of = np.searchsorted(self.starts, documents, side="right") - 1
        for shard in np.unique(shard_of):
            here = np.flatnonzero(shard_of == shard)
            rows[here] = self._signatures[shard][documents[here] - self.starts[shard]]
        return rows


def _mapped(path: Path, kind: np.dtype, dimensions: int) -> np.ndarray:
    try:
        # An empty array cannot be mapped.
        empty = np.load(path, mmap_mode="r", allow_pickle=False) if path.stat().st_size > 4096 else None
        array = np.load(path, allow_pickle=False) if empty is None else empty
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"cannot read {path} ({error}); scan this shard again") from error
    if array.dtype != kind or array.ndim != dimensions:
        raise UserError(
            f"{path} holds {array.dtype}{list(array.shape)}, which no scan of this version wrote; scan again"
        )
    return array
