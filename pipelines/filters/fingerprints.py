"""Fingerprints of a shard's samples as they are stored beside these, to be compared with those of other shards."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save


@dataclass(frozen=True, slots=True)
class StoredFingerprints:
    """Of n samples, in the order of their index."""

    indices: NDArray[np.int64]  # (n,)
    hashes: NDArray[np.uint64]  # (n,), 64 bits each
    embeddings: NDArray[np.float16]  # (n, width), unit vectors; (n, 0) where embeddings are not compared
    limits: NDArray[np.float64]  # largest Hamming distance, in bits, and least cosine similarity of a duplicate

    def encode(self) -> bytes:
        """As a safetensors file. Same fingerprints, same bytes."""
        names = ("indices", "hashes", "embeddings", "limits")
        return save({name: np.ascontiguousarray(getattr(self, name)) for name in names})

    @classmethod
    def decode(cls, data: bytes) -> "StoredFingerprints":
        return cls(**load(data))

    def without(self, gone: Collection[int]) -> "StoredFingerprints":
        """Of the samples but those of these indices."""
        rest = ~np.isin(self.indices, list(gone))
        return StoredFingerprints(self.indices[rest], self.hashes[rest], self.embeddings[rest], self.limits)


def packed(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Hashes as numbers (n,), of their bits (n, 64)."""
    return np.packbits(bits, axis=1).view(np.uint64).reshape(-1)
