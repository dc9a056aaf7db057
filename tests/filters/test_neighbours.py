"""Near images among many: exactly those that comparing all with all finds. 2 s."""

import numpy as np
import pytest

from pipelines.filters import neighbours
from pipelines.filters.neighbours import near_embeddings, near_hashes

COUNT = 3000


@pytest.fixture(scope="module")
def hashes() -> np.ndarray:
    """Random ones, a third of which are others with up to 20 bits flipped; in buckets of which some are large."""
    random = np.random.default_rng(0)
    values = random.integers(0, 2**64, COUNT, dtype=np.uint64)
    values[: COUNT // 10] &= np.uint64(0xFFFF)  # three of the four bands are alike
    for row in range(0, COUNT, 3):
        for bit in random.choice(64, random.integers(0, 21), replace=False):
            values[row] = values[row] ^ np.uint64(1 << int(bit)) if bit % 2 else values[row - 1] ^ np.uint64(1 << int(bit))
    values[-6:] = values[:6]
    return values


def all_pairs(hashes: np.ndarray, start: int, distance: int) -> list[tuple[int, int]]:
    distances = np.bitwise_count(hashes[:, None] ^ hashes[None])
    return [(i, j) for i, j in np.argwhere(distances <= distance).tolist() if i < j and j >= start]


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 7, 11, 15, 16, 30])
def test_hashes_are_those_that_comparing_all_with_all_finds(hashes: np.ndarray, distance: int) -> None:
    few = hashes if distance < 12 else hashes[::4].copy()
    for start in (0, len(few) // 2):
        first, second = near_hashes(few, start, distance)
        expected = all_pairs(few, start, distance)
        assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == sorted(expected)
        assert expected


def test_in_pieces_they_are_the_same(hashes: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = near_hashes(hashes, 100, 5)
    monkeypatch.setattr(neighbours, "CANDIDATES", 50)
    assert all(np.array_equal(part, other) for part, other in zip(near_hashes(hashes, 100, 5), whole, strict=True))


@pytest.mark.parametrize("count", [0, 1])
def test_of_none_or_one_there_are_no_pairs(count: int) -> None:
    assert [len(part) for part in near_hashes(np.zeros(count, np.uint64), 0, 3)] == [0, 0]
    assert [len(part) for part in near_embeddings(np.ones((count, 4), np.float16), np.arange(count), 0, 0.9)] == [0, 0]


def test_embeddings_are_those_that_comparing_all_with_all_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "TILE", 100)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(700, 16))
    vectors[300:400] = vectors[:100] + random.normal(size=(100, 16)) * 0.1
    embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    rows = np.flatnonzero(np.arange(700) % 7)
    own = embeddings[rows].astype(np.float32)
    expected = [(i, j) for i, j in np.argwhere(own @ own.T >= 0.95).tolist() if i < j and j >= 150]
    first, second = near_embeddings(embeddings, rows, 150, 0.95)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == sorted(expected)
    assert len(expected) > 50
