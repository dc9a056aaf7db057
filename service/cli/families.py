"""The table of what can be done with which checkpoints, from the data by which specs are refused."""

from string import ascii_uppercase

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table

from service.cli.output import console


def families() -> None:
    """Print which methods and features each family of checkpoints can do, and why not."""
    from pipelines.backbones.families import FAMILIES
    from pipelines.backbones.features import FEATURES

    reasons: dict[tuple[str, str], int] = {}  # by the field that an error names, and what it says -> number
    letters = dict(zip(ascii_uppercase, FAMILIES, strict=False))  # their names would not fit beside each other
    columns = (Column(letter, no_wrap=True) for letter in letters)
    table = Table(Column(overflow="fold"), *columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for key, feature in FEATURES.items():
        cells = []
        for limits in FAMILIES.values():
            number = reasons.setdefault((feature.field, limits[key]), len(reasons) + 1) if key in limits else None
            cells.append("yes" if number is None else f"no {number}")
        table.add_row(feature.title, *cells)
    console.print(table)
    for letter, name in letters.items():
        console.print(f"{letter}: {name}", markup=False, soft_wrap=True)
    for (field, reason), number in reasons.items():
        console.print(f"{number}. {field}: {reason}.", markup=False, soft_wrap=True)
    console.print(
        "Of any other checkpoint, counterpoise validate says what it is, and whether it can be used.", soft_wrap=True
    )
