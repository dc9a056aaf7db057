"""Steps: who sees them, and what ends the work. A second."""

import threading
import time

import pytest

from pipelines.progress import step, watched, with_steps


class Ended(Exception):
    """The work is to end."""


def end() -> None:
    raise Ended


def test_a_step_is_seen_by_whoever_watches_this_thread_last_and_inside_the_block_alone() -> None:
    seen: list[str] = []
    with watched(lambda: seen.append("outer")), watched(lambda: seen.append("inner")):
        step()
        other = threading.Thread(target=step)
        other.start()
        other.join()
    step()
    assert seen == ["inner"]


def test_a_call_that_makes_no_steps_can_be_left_to_itself() -> None:
    over = threading.Event()
    began = time.monotonic()
    with pytest.raises(Ended), watched(end):
        with_steps(lambda: over.wait(30))
    assert time.monotonic() - began < 10
    over.set()


def test_the_result_and_the_error_of_such_a_call_are_the_callers() -> None:
    assert with_steps(lambda: 7) == 7
    with pytest.raises(Ended):
        with_steps(end)
