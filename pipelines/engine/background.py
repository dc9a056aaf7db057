"""Work beside the denoising, in threads: reading, judging, writing."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from pipelines import progress

P = ParamSpec("P")
T = TypeVar("T")
POLL = 0.2  # seconds after which whoever waits looks whether the work is to end


class Background:
    """One thread, which takes its calls in turn. Their steps are watched as the caller's."""

    def __init__(self, name: str) -> None:
        self.pool = ThreadPoolExecutor(1, name)

    def submit(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> Future[T]:
        return self.pool.submit(copy_context().run, partial(call, *arguments, **options))

    def __enter__(self) -> "Background":
        return self

    def __exit__(self, *_: Any) -> None:
        """Calls that have not begun are dropped."""
        self.pool.shutdown(cancel_futures=True)


class Foreground(Background):
    """No thread: a call is done when it is given. For what would take the cores that the denoiser computes on."""

    def __init__(self) -> None: ...

    def submit(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> Future[T]:
        future = Future[T]()
        future.set_result(call(*arguments, **options))
        return future

    def __exit__(self, *_: Any) -> None: ...


def result(future: Future[T]) -> T:
    """The result of a call. Raises what the call raises; while it is waited for, what ends the work."""
    while not future.done():
        progress.wait()
        wait([future], timeout=POLL)
    return future.result()
