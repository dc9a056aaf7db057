"""Pairs against every pair compared one by one."""

import numpy as np
import pytest

from pipelines.inspection import duplicates
from pipelines.progress import SILENT


def test_the_pairs_are_those_that_comparing_each_with_each_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (60, 64))
    for copy, original, changed in ((10, 3, 2), (11, 3, 8), (40, 39, 9), (59, 0, 0)):
        bits[copy] = bits[original]
        bits[copy, :changed] ^= 1
    monkeypatch.setattr(duplicates, "BLOCK", 7 * 60)  # blocks of seven rows
    signs = np.where(bits, 1 / 8, -1 / 8).astype(np.float32)
    pairs = duplicates.near_pairs(signs, 1 - 8 / 32 - 1e-4, SILENT)
    expected = [(i, j) for i in range(60) for j in range(i + 1, 60) if (bits[i] != bits[j]).sum() <= 8]
    assert sorted(map(tuple, pairs.tolist())) == expected
    assert expected == [(0, 59), (3, 10), (3, 11), (10, 11)]
    numbers = duplicates.clusters(pairs, 60)
    assert numbers[3] == numbers[10] == numbers[11]
    assert len(set(numbers.tolist())) == 60 - 3
