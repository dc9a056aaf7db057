"""The table of claims in docs/methods.md, from the benchmarks' claims, its tables of figures and what families are refused.

`python -m tests.docs.claims` writes it.
"""

import re
from math import hypot

from pipelines.backbones.families import FAMILIES
from pipelines.backbones.features import FEATURES
from pipelines.experiments.benchmarks import FIRST, QUICK_BENCHMARKS, benchmarks, spec_of
from pipelines.experiments.claims import CLAIMS, Figures, verdict
from pipelines.experiments.pace import OVERHEAD, Pace, estimate
from pipelines.spec import VersionSpec
from tests.docs.pages import ROOT, guide, rows

PAGE = "methods"
BEGIN, END = "<!-- the table -->\n", "<!-- end of the table -->\n"
HEAD = ("row", "paper", "what it claims", "what it gives here", "does that hold?", "checkpoints", "cost")
FIGURE = re.compile(r"(\d+\.\d) ± (\d+\.\d)")


def measured() -> dict[tuple[str, str], str]:
    """The cells of the tables in docs/methods.md, by benchmark and row."""
    cells: dict[tuple[str, str], str] = {}
    head: list[str] = []
    for row in rows(guide(PAGE).section("What the methods are worth")):
        if not any(FIGURE.search(cell) for cell in row[1:]):
            head = [name.strip("`") for name in row[1:]]
            continue
        texts = [cell.replace("*", "").strip() for cell in row[1:]]
        cells |= {(name, row[0].strip("`")): text for name, text in zip(head, texts, strict=False) if text}
    return cells


def figures(cell: str) -> Figures:
    """A cell's mean and spread; over how many draws, it does not say, but over several."""
    found = FIGURE.search(cell)
    assert found is not None, cell
    return {"mean": float(found[1]), "std": float(found[2]), "values": [0.0, 0.0]}


def home(row: str) -> str:
    """The first benchmark, of those that a quick run has or else of all, in which a row stands beside its rival."""
    known, rival = benchmarks(), CLAIMS[row].better_than
    order = [*QUICK_BENCHMARKS, *known]
    arms = {name: {arm for arms in known[name].baselines.values() for arm in arms} for name in known}
    return next(name for name in order if row in known[name].methods and rival in {*known[name].methods, *arms[name]})


def spec(row: str, benchmark: str) -> VersionSpec:
    """The spec of a row, without its evaluation."""
    return spec_of(benchmark, benchmarks()[benchmark], row, 0).model_copy(update={"evaluation": None})


def families(row: str, benchmark: str) -> str:
    used = {key for key, feature in FEATURES.items() if feature.used(spec(row, benchmark))}
    able = [name for name, limits in FAMILIES.items() if not used & limits.keys()]
    return "all" if len(able) == len(FAMILIES) else "; ".join(able)


def cost(row: str, benchmark: str) -> str:
    """Image-steps, those of learning included, of a row as a multiple of those of plain text to image."""
    own, plain = (estimate([spec(name, benchmark)], Pace(1, 0)) - OVERHEAD for name in (row, FIRST))
    return f"{own / plain:.1f}"


def line(row: str, cells: dict[tuple[str, str], str]) -> tuple[str, ...]:
    claim, benchmark = CLAIMS[row], home(row)
    here, rival = cells.get((benchmark, row)), cells.get((benchmark, claim.better_than))
    gives, holds = "not yet measured", "—"
    if here is not None and rival is not None:
        own, other = figures(here), figures(rival)
        gives = f"`{benchmark}`: {here}, `{claim.better_than}` {rival}"
        holds = f"{verdict(own, other)}: {own['mean'] - other['mean']:+.1f}, spread {hypot(own['std'], other['std']):.1f}"
    return f"`{row}`", claim.paper, claim.text, gives, holds, families(row, benchmark), cost(row, benchmark)


def table() -> str:
    cells = measured()
    lines = [HEAD, ("---",) * len(HEAD), *(line(row, cells) for row in CLAIMS)]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


if __name__ == "__main__":
    file = ROOT / "docs" / f"{PAGE}.md"
    before, rest = file.read_text(encoding="utf-8").split(BEGIN)
    file.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", encoding="utf-8")
