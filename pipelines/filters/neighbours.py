"""All pairs of near images among many, exactly: by the Hamming distance of 64-bit hashes, and by the cosine of embeddings.

Hashes by multi-index hashing (Norouzi, Punjani and Fleet, arXiv 1307.2982): where two differ in at most so many bits, one of
their four bands of 16 bits differs in at most a quarter of these. So each is compared with those alone that share a band, up
to so many flipped bits: up to a distance of 3, with none flipped. Embeddings by products of matrices, tile by tile.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.progress import step

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # places i and j, i < j
BANDS, BAND_BITS = 4, 16
MAX_FLIPS = 3  # of a band, beyond which all are compared with all: more buckets would be looked into than there are images
CANDIDATES = 2**21  # pairs that are looked at at a time
TILE = 2048  # embeddings a side of a product


def near_hashes(hashes: NDArray[np.uint64], start: int, distance: int) -> Pairs:
    """All pairs of hashes (n,) of at most this distance, in bits, whose second is at `start` or after it; each once."""
    flips = distance // BANDS
    if flips > MAX_FLIPS:
        bands, masks = np.zeros((1, len(hashes)), np.uint16), np.zeros(1, np.uint16)
    else:
        bands = hashes.view(np.uint16).reshape(-1, BANDS).T
        values = np.arange(2**BAND_BITS, dtype=np.uint16)
        masks = values[np.bitwise_count(values) <= flips]
    codes = [np.empty(0, np.intp)]
    for band in bands:
        for first, second in sharing(band, start, masks):
            near = (first < second) & (np.bitwise_count(hashes[first] ^ hashes[second]) <= distance)
            codes.append(first[near] * len(hashes) + second[near])
    first, second = np.divmod(np.unique(np.concatenate(codes)), max(1, len(hashes)))
    return first, second


def sharing(band: NDArray[np.uint16], start: int, masks: NDArray[np.uint16]) -> Iterator[Pairs]:
    """Pairs of which one's band (n,) is the other's, with the bits of a mask flipped; the second at `start` or after it."""
    order = np.argsort(band, kind="stable")
    bounds = np.searchsorted(band[order], np.arange(2**BAND_BITS + 1))  # of the places in `order` of each value
    for mask in masks:
        wanted = (band[start:] ^ mask).astype(np.intp)
        begins, counts = bounds[wanted], bounds[wanted + 1] - bounds[wanted]
        ends = np.cumsum(counts)
        cuts = np.searchsorted(ends, np.arange(CANDIDATES, ends[-1] if len(ends) else 0, CANDIDATES))
        for part in np.split(np.arange(len(wanted)), np.unique(cuts)):
            step()
            own = counts[part]
            within = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
            yield order[np.repeat(begins[part], own) + within], np.repeat(start + part, own)


def near_embeddings(embeddings: NDArray[np.float16], rows: NDArray[np.intp], start: int, similarity: float) -> Pairs:
    """All pairs of places in `rows`, which are rows of unit vectors (n, width), of at least this cosine, whose second is at
    `start` or after it; each once."""
    firsts, seconds = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for bottom in range(start, len(rows), TILE):
        second = embeddings[rows[bottom : bottom + TILE]].astype(np.float32)
        for left in range(0, bottom + len(second), TILE):
            step()
            first = embeddings[rows[left : left + TILE]].astype(np.float32)
            i, j = np.nonzero(first @ second.T >= similarity)
            earlier = i + left < j + bottom
            firsts.append(i[earlier] + left)
            seconds.append(j[earlier] + bottom)
    return np.concatenate(firsts), np.concatenate(seconds)
