"""What a version lacks, in words."""

import pytest

from pipelines.report.shortfall import LISTED, sentence, shortfalls


@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        ({"label_agreement": 14, "quality": 3}, "siskin: 3 of 1,000 kept; label_agreement dropped 14 candidates"),
        ({"quality": 1}, "siskin: 3 of 1,000 kept; quality dropped 1 candidate"),
        ({}, "siskin: 3 of 1,000 kept"),
    ],
)
def test_a_class_is_named_with_the_filter_that_dropped_most(dropped: dict[str, int], words: str) -> None:
    assert sentence("siskin", {"planned": 1000, "kept": 3, "dropped": dropped}) == words


def test_those_that_lack_most_come_first_and_the_others_are_counted() -> None:
    short = {f"c{n:02d}": {"planned": 100, "kept": 99 - n, "dropped": {}} for n in range(LISTED + 3)}
    lines = shortfalls({"shortfall": short})
    assert lines[0] == "c12: 87 of 100 kept"
    assert (len(lines), lines[-1]) == (LISTED + 1, "classes that fall short, too: 3")
    assert len(shortfalls({"shortfall": dict(list(short.items())[:LISTED])})) == LISTED


def test_of_a_version_from_before_it_was_counted_nothing_is_said() -> None:
    assert shortfalls({"planned": 4, "kept": 1}) == []
