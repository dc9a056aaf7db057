"""Telling whoever waits how far the work is: a bar in a terminal here, an event elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
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
    """Bars in a terminal, lines elsewhere."""
    quiet()
    console = Console()
    if not console.is_terminal:
        yield Lines(console)
        return
    with RichProgress(*columns(), console=console) as rich:
        yield Bars(rich)
