"""Calls side by side, each in a process of its own with one thread: small trainings keep one core busy, but not two.

A call computes the same bits in a process of its own as here, so it does not matter how many run at a time. The processes
are plain `python -m pipelines.parallel`, so that a caller's script is not run again in them.
"""

import gc
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotDone
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from pipelines.progress import Progress, Stage, step

T = TypeVar("T")

MAX_PROCESSES = 4  # each loads libraries of half a gigabyte
WORTHWHILE = 200  # steps of all calls together, below which starting processes costs more than it saves
POLL = 0.1  # seconds
QUIET = {"TQDM_DISABLE": "1", "DIFFUSERS_VERBOSITY": "error", "TRANSFORMERS_VERBOSITY": "error"}


@dataclass(frozen=True)
class Call:
    """A function of some module, to be called with its arguments and then the Stage of its progress."""

    function: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]  # prepared in the caller's thread, while calls before it run already
    name: str  # of the stage
    steps: int


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes(calls: Collection[Call], device: str) -> int:
    """How many processes to use: none on a GPU, which one process fills, or for what is not worth it."""
    count = min(cores(), len(calls), MAX_PROCESSES)
    return count if device == "cpu" and count > 1 and sum(call.steps for call in calls) >= WORTHWHILE else 0


def run(calls: Collection[Call], device: str, progress: Progress) -> Iterator[Any]:
    """The results in the order of the calls. Raises what a call raises; what `progress` raises ends all calls."""
    count = processes(calls, device)
    if not count:
        with one_thread(device):
            for call in calls:
                yield call.function(*call.arguments(), progress.stage(call.name, call.steps))
        return
    first = next(iter(calls))
    stages = {first.name: progress.stage(first.name, first.steps)}  # before processes are started: it may refuse
    children = [Child() for _ in range(count)]
    try:
        with one_thread(device):  # beside the children's, for what is prepared meanwhile
            yield from Pool(children, progress, stages).run(calls)
    finally:
        for child in children:
            child.close()


def stream(function: Callable[..., T], calls: Iterable[tuple[Any, ...]], count: int) -> Iterator[T]:
    """The results of a function of some module in the order of the calls, which are given by their arguments and made in
    `count` processes. Of any number of calls one more than that is at hand. Raises what a call raises, and what a step does.
    """
    children: list[Child] = []
    idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
    pending: deque[Future[T]] = deque()

    def in_child(arguments: tuple[Any, ...]) -> T:
        child = idle.get()
        try:
            result: T = child.run(function, arguments, lambda done: None)
            return result
        finally:
            idle.put(child)

    threads = ThreadPoolExecutor(count)
    try:
        for arguments in calls:
            if len(children) < count:  # no more than there are calls
                children.append(Child())
                idle.put(children[-1])
            pending.append(threads.submit(in_child, arguments))
            if len(pending) > count:
                yield awaited(pending.popleft())
        while pending:
            yield awaited(pending.popleft())
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for child in children:
            child.process.kill()  # ends the pending read of its answer
        threads.shutdown()
        for child in children:
            child.close()


def awaited(future: Future[T]) -> T:
    """The result, once it is there; steps are made meanwhile."""
    while True:
        try:
            return future.result(timeout=POLL)
        except NotDone:
            if future.done():  # the call itself raised it
                raise
            step()


class Pool:
    """Hands calls to idle processes, from a thread each, and reports their progress in the caller's thread."""

    def __init__(self, children: Sequence["Child"], progress: Progress, stages: dict[str, Stage]) -> None:
        """`stages` by name: of calls whose stage has begun already."""
        self.children, self.progress, self.stages = children, progress, stages
        self.idle: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self.steps: queue.SimpleQueue[tuple[Call, int]] = queue.SimpleQueue()
        for child in children:
            self.idle.put(child)

    def run(self, calls: Iterable[Call]) -> Iterator[Any]:
        with ThreadPoolExecutor(len(self.children)) as threads:
            try:
                for future in [threads.submit(self.in_child, call, call.arguments()) for call in calls]:
                    yield self.wait(future)
            finally:
                threads.shutdown(wait=False, cancel_futures=True)
                for child in self.children:
                    child.process.kill()  # ends the pending read of its answer

    def in_child(self, call: Call, arguments: tuple[Any, ...]) -> Any:
        child = self.idle.get()
        try:
            return child.run(call.function, arguments, lambda done: self.steps.put((call, done)))
        finally:
            self.idle.put(child)

    def wait(self, future: Future[Any]) -> Any:
        while True:
            try:
                call, done = self.steps.get(timeout=POLL)
                if call.name not in self.stages:
                    self.stages[call.name] = self.progress.stage(call.name, call.steps)
                self.stages[call.name](done)
            except queue.Empty:
                for stage in self.stages.values():  # no step, but it may be time to stop
                    stage(0)
                if future.done():
                    return future.result()


class Child:
    """A process that runs one call after another."""

    def __init__(self) -> None:
        environment = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-m", "pipelines.parallel"]  # -P: not the `pipelines` of whoever's folder this is
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...], progress: Stage) -> Any:
        """Raises what the call raises, and RuntimeError when the process dies."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            pickle.dump((function, arguments), self.process.stdin)
            self.process.stdin.flush()
            while True:
                kind, value = pickle.load(self.process.stdout)
                if kind == "step":
                    progress(value)
                elif kind == "error":
                    raise value
                else:
                    return value
        except (EOFError, BrokenPipeError):
            raise RuntimeError(f"a process of its own died, exit code {self.process.wait()}: out of memory?") from None

    def close(self) -> None:
        """Forget a process that was killed."""
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                assert pipe is not None
                pipe.close()


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """One thread for each operation inside the block, on a CPU: another number would give other last bits."""
    import torch

    count = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


@contextmanager
def permanent() -> Iterator[None]:
    """What is created inside the block, mostly by imports, stays for ever: the garbage collector does not look through it.
    It would take a third of the time that torch and diffusers are imported in, and as much again when the process ends."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Run each call that is read, and write its steps, then its result or its error."""

    def answer(kind: str, value: Any) -> None:
        pickle.dump((kind, value), answers)
        answers.flush()

    while True:
        try:
            with permanent():
                function, arguments = pickle.load(requests)
        except EOFError:
            return
        try:
            answer("result", function(*arguments, lambda done: answer("step", done)))
        except Exception as error:
            answer("error", error)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, which ends its children
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get among the answers
    serve(sys.stdin.buffer, pipe)
