"""When a worker says that it should be started anew."""

import pytest

from workers import metrics


def test_work_without_a_step_hangs_and_no_work_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: clock)
    assert metrics.failure() is None
    with metrics.measure("generate") as ended:
        clock += metrics.HANG_SECONDS + metrics.RESTART_SECONDS
        assert metrics.failure() is None
        clock += 1
        assert metrics.failure() == "no step for 2101 s"
        metrics.step()
        assert metrics.failure() is None
        ended("done")
    clock += 10 * metrics.HANG_SECONDS
    assert metrics.failure() is None
