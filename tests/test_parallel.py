"""Calls in processes of their own: results in order, progress, errors, and an end at once when the caller stops."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from pipelines import parallel
from pipelines.errors import SpecError
from pipelines.parallel import Call
from pipelines.progress import Silent, Stage


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})


def square(number: int, progress: Stage) -> tuple[int, int]:
    print("a library that talks")
    for _ in range(number):
        progress(1)
    return number**2, os.getpid()


def refuse(number: int, progress: Stage) -> None:
    raise SpecError(f"number: {number} is refused; give another")


def die(progress: Stage) -> None:
    os._exit(7)


def wait(file: str, progress: Stage) -> None:
    Path(file).write_text(str(os.getpid()))
    progress(1)
    time.sleep(60)


class Counted(Silent):
    def __init__(self) -> None:
        self.done: dict[str, int] = {}

    def stage(self, name: str, total: int) -> Stage:
        self.done[name] = 0

        def advanced(count: int) -> None:
            self.done[name] += count

        return advanced


def squares(numbers: list[int], steps: int) -> list[Call]:
    return [Call(square, partial(tuple, [number]), f"square {number}", steps) for number in numbers]


def test_there_are_never_more_processes_than_memory_bears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    assert parallel.processes(squares(list(range(30)), 100), "cpu") == parallel.MAX_PROCESSES
    assert parallel.processes(squares([1, 2, 3], 100), "cpu") == 3


def test_results_come_in_order_from_as_many_processes_as_there_are_cores() -> None:
    progress = Counted()
    results = list(parallel.run(squares([3, 1, 2, 5], 100), "cpu", progress))
    assert [value for value, _ in results] == [9, 1, 4, 25]
    assert progress.done == {"square 3": 3, "square 1": 1, "square 2": 2, "square 5": 5}
    assert os.getpid() not in {process for _, process in results}
    assert len({process for _, process in results}) <= 2


@pytest.mark.parametrize(("steps", "device"), [(1, "cpu"), (1000, "cuda")], ids=["little to do", "one GPU"])
def test_what_is_not_worth_a_process_is_done_here(steps: int, device: str) -> None:
    progress = Counted()
    assert list(parallel.run(squares([2, 3], steps), device, progress)) == [(4, os.getpid()), (9, os.getpid())]
    assert progress.done == {"square 2": 2, "square 3": 3}


def test_an_error_is_raised_as_it_was() -> None:
    calls = [Call(refuse, partial(tuple, [number]), str(number), 200) for number in (4, 5, 6)]
    with pytest.raises(SpecError, match="number: 4 is refused; give another"):
        list(parallel.run(calls, "cpu", Silent()))


def test_a_process_that_dies_is_told_from_one_that_finished() -> None:
    with pytest.raises(RuntimeError, match="a process of its own died, exit code 7"):
        list(parallel.run([Call(die, tuple, str(n), 200) for n in range(2)], "cpu", Silent()))


def test_when_the_caller_stops_the_processes_end(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    class Stopping(Silent):
        def stage(self, name: str, total: int) -> Stage:
            raise Stopped

    began = time.monotonic()
    with pytest.raises(Stopped):
        list(
            parallel.run(
                [Call(wait, partial(tuple, [str(tmp_path / str(n))]), str(n), 200) for n in range(2)], "cpu", Stopping()
            )
        )
    assert time.monotonic() - began < 30
    for file in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
