"""Progress of the work: bars or lines in a terminal; a service writes it as events of its version.

Beside the stages that a user sees there are steps: `step()` is called in every loop whose turns take time, by whatever does
the work, and with every call of a store. It costs a microsecond, and does nothing unless somebody watches.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

T = TypeVar("T")
POLL = 0.5  # seconds between two steps of a call that makes none


def unwatched() -> None:
    """Nobody watches."""


Watchers = tuple[Callable[[], None], Callable[[], None]]  # called at every step, and while others are waited for
watchers: ContextVar[Watchers] = ContextVar("watchers", default=(unwatched, unwatched))


def step() -> None:
    """The work goes on. Raises what whoever watches it raises: the work is to end."""
    watchers.get()[0]()


def wait() -> None:
    """The work waits for another thread or process, which makes steps of its own. Raises as `step` does."""
    watchers.get()[1]()


@contextmanager
def watched(check: Callable[[], None], check_waiting: Callable[[], None] = unwatched) -> Iterator[None]:
    """Have `check` called at every step that this thread makes inside the block, `check_waiting` while it waits."""
    token = watchers.set((check, check_waiting))
    try:
        yield
    finally:
        watchers.reset(token)


def with_steps(call: Callable[[], T]) -> T:
    """A library's call that may take minutes and makes no steps, in a thread of its own: steps are made here meanwhile.

    When a step raises, the call is left to itself.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        step()
        thread.join(POLL)
    if errors:
        raise errors[0]
    return results[0]


class Stage(Protocol):
    def __call__(self, done: int) -> None:
        """`done` further units are finished."""


class Progress(Protocol):
    def stage(self, name: str, total: int) -> Stage:
        """Begin a stage of `total` units."""

    def say(self, text: str) -> None:
        """A message, on a line of its own."""


class Bars:
    """Progress as bars in a terminal."""

    def __init__(self, rich: RichProgress) -> None:
        self.rich = rich

    def stage(self, name: str, total: int) -> Stage:
        task = self.rich.add_task(name, total=total)
        return lambda done: self.rich.advance(task, done)

    def say(self, text: str) -> None:
        self.rich.console.print(text, highlight=False, markup=False, soft_wrap=True)


class Lines:
    """Progress where bars cannot be drawn: a line as each stage begins."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def stage(self, name: str, total: int) -> Stage:
        self.say(f"{name}: {total}")
        return lambda done: None

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


class Silent:
    """Progress that is not displayed."""

    def stage(self, name: str, total: int) -> Stage:
        return lambda done: None

    def say(self, text: str) -> None:
        return None


SILENT = Silent()


def quiet() -> None:
    """Turn off the libraries' own progress bars, and their log below errors."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def columns() -> tuple[ProgressColumn, ...]:
    """The columns of every bar: stage, progress, time elapsed and remaining."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


@contextmanager
def bars() -> Iterator[Progress]:
    """Bars in a terminal, lines elsewhere."""
    quiet()
    console = Console()
    if not console.is_terminal:
        yield Lines(console)
        return
    with RichProgress(*columns(), console=console) as rich:
        yield Bars(rich)
