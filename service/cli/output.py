"""What several commands print or write: a version's summary, lists, results as JSON."""

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from pipelines.errors import CounterpoiseError
from pipelines.report.amounts import advice
from pipelines.report.harm import harms
from pipelines.report.headline import caveats, headline, images
from pipelines.report.shortfall import shortfalls
from pipelines.report.worst import worst_part
from pipelines.spec.arms import ARMS

console = Console(highlight=False)


LEAST = 20  # characters of the last column, below which it is not wrapped


def print_list(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows below their head. Ids and names stay whole: in a terminal the last column alone is wrapped, elsewhere nothing."""
    lines = [head, *rows]
    *widths, _ = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    left = console.width - sum(widths) - 2 * len(widths)
    for number, (*cells, last) in enumerate(lines):
        start = "".join(cell + " " * (width - cell_len(cell) + 2) for cell, width in zip(cells, widths, strict=True))
        if console.is_terminal and left >= LEAST:
            last = ("\n" + " " * cell_len(start)).join(textwrap.wrap(last, left, break_on_hyphens=False))
        style = "bold" if number == 0 else None
        console.print((start + last).rstrip(), style=style, markup=False, soft_wrap=True)


def print_summary(summary: dict[str, Any]) -> None:
    """A version's accuracies and counts."""
    counts, result, harmed = summary["counts"], headline(summary), bool(harms(summary))
    if harmed:  # before the figures
        console.print(f"{result}.", style="bold red", markup=False, soft_wrap=True)
    if summary["arms"]:
        title = f"Accuracy on real test images: {summary['name']}, version {summary['version']}"
        table = Table("trained on", "average", worst_part(summary["arms"]), title=title)
        for arm in (arm for arm in ARMS if arm in summary["arms"]):
            results = summary["arms"][arm]
            table.add_row(ARMS[arm].title, *(f"{percent(results[name])} %" for name in ("average", "worst_group")))
        console.print(table)
    if not harmed and result != images(counts):
        console.print(f"{result}.", soft_wrap=True)
    if advised := advice(summary):
        console.print(advised["text"], markup=False, soft_wrap=True)
    for caveat in caveats(summary):
        console.print(f"  {caveat}", markup=False, soft_wrap=True)
    console.print(f"{images(counts)}; {summary['seconds']['total']:.0f} s.", soft_wrap=True)
    print_shortfalls(counts)


def print_shortfalls(counts: dict[str, Any]) -> None:
    """The classes of which fewer images were kept than planned, if any."""
    if lines := shortfalls(counts):
        console.print("Fewer images than planned; what a filter drops is set in the spec's filters:")
    for line in lines:
        console.print(f"  {line}", markup=False, soft_wrap=True)


def percent(result: dict[str, Any]) -> str:
    """Mean and standard deviation of an accuracy in [0, 1], in percent; of one seed there is no deviation."""
    deviation = f" ± {100 * result['std']:.1f}" if len(result["values"]) > 1 else ""
    return f"{100 * result['mean']:.1f}{deviation}"


def write_json(file: Path, text: str, mode: str = "w") -> None:
    """Raises CounterpoiseError when the file cannot be written. With mode "a" and no text it only finds that out."""
    try:
        with file.open(mode) as stream:
            stream.write(text)
    except OSError as error:
        raise CounterpoiseError(f"--json: {file} cannot be written ({error.strerror}); give another file") from None
