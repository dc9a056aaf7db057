"""Progress of the work: bars or lines in a terminal; a service writes it as events of its version."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


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
