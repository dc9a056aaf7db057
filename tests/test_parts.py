"""A part that is missing skips what needs it, and is told at the end; where all tests are asked for, it fails them."""

import pytest

from tests import parts
from tests.parts import MARK, Part, summary

ANVIL = Part("an anvil", "acme-anvil", lambda: None)


@pytest.mark.parametrize(("strict", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)])
def test_what_is_missing_is_skipped_or_fails(
    monkeypatch: pytest.MonkeyPatch, strict: bool, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(parts, "STRICT", strict)
    with pytest.raises(outcome, match="an anvil"):
        ANVIL.path()


def test_each_part_is_one_line_with_its_tests_and_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "STRICT", False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        ANVIL.path()
    reason = f"Skipped: {skipped.value}"
    other = f"Skipped: {MARK}a hammer (Debian: apt-get install acme-hammer)"
    assert summary([reason, other, "Skipped: not on Sundays", reason]) == [
        f"{MARK}a hammer (Debian: apt-get install acme-hammer): 1 test",
        f"{MARK}an anvil (Debian: apt-get install acme-anvil): 2 tests",
    ]
