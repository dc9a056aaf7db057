"""A few faults, and everything is as it was promised. 40 seconds; `python -m tests.chaos` injects more."""

from pathlib import Path

from tests.chaos.__main__ import torment


def test_after_faults_everything_is_as_promised(tmp_path: Path) -> None:
    assert torment(tmp_path, faults=5, seed=5543, workers=1, tenants=2, postgres=False, s3=False) == []
