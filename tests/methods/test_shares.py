"""What the images of a class fall to."""

from itertools import accumulate

import pytest

from pipelines.methods.shares import share_of


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.8, 0.2], [0.2, 0.3, 0.5], [0.98, 0.02]])
@pytest.mark.parametrize("first", [0, 7, 100_003])
def test_every_run_of_images_has_about_the_share_of_each(shares: list[float], first: int) -> None:
    ends = [*accumulate(shares)]
    for count in (10, 50, 400):
        drawn = [share_of(rank, ends) for rank in range(first, first + count)]
        for number, share in enumerate(shares):
            assert abs(drawn.count(number) - share * count) < 2.5


def test_rounding_leaves_nothing_out() -> None:
    ends = [*accumulate([1 - 0.9, *[0.1] * 9])]
    assert ends[-1] < 1
    assert {share_of(rank, ends) for rank in range(1000)} == set(range(10))
