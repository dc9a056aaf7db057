"""What each image of a class falls to, where several things share them: evenly in every run of a class's images."""

from bisect import bisect_right
from collections.abc import Sequence

GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, are spread evenly, however many there are


def share_of(rank: int, ends: Sequence[float]) -> int:
    """The number of the share that the `rank`-th image of a class falls to. `ends`: up to where between 0 and 1 each share
    reaches; the last is 1, but for rounding."""
    return min(bisect_right(ends, (rank + 0.5) * GOLDEN % 1), len(ends) - 1)
