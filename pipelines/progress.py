"""Telling whoever waits how far the work is: a bar in a terminal here, an event elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Stage(Protocol):
    def __call__(self, done: int) -> None:
        """So many more are done."""


class Progress(Protocol):
    def stage(self, name: str, total: int) -> Stage:
        """Begin a stage of `total` units."""

    def say(self, text: str) -> None:
        """A line worth keeping."""


class Bars:
    """Progress as bars in a terminal."""

    def __init__(self, rich: RichProgress) -> None:
        self.rich = rich

    def stage(self, name: str, total: int) -> Stage:
        task = self.rich.add_task(name, total=total)
        return lambda done: self.rich.advance(task, done)

    def say(self, text: str) -> None:
        self.rich.console.print(text, highlight=False)


class Silent:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int) -> Stage:
        return lambda done: None

    def say(self, text: str) -> None:
        return None


def quiet() -> None:
    """Let the libraries draw no bars into ours, and speak only of errors."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def columns() -> tuple[ProgressColumn, ...]:
    """What every bar of ours shows: its name, how far it is, how long it took and will take."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )


@contextmanager
def bars() -> Iterator[Progress]:
    quiet()
    with RichProgress(*columns()) as rich:
        yield Bars(rich)
