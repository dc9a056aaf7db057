"""What the benchmarks found, as Markdown tables and contact sheets."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from pipelines.experiments.benchmarks import FIRST, SHOTS
from pipelines.experiments.claims import cell as claims_cell
from pipelines.experiments.claims import judged
from pipelines.records import Image
from pipelines.report.figures import contact_sheet
from pipelines.source.decode import decode
from pipelines.spec.arms import ARMS, BASELINE, CEILING
from pipelines.store.object_store import Store
from pipelines.training.metrics import SIZES, summary
from pipelines.version.plan import read_plan
from pipelines.version.rows import read_shards

ACROSS = 8  # images a row, and so a class, of a contact sheet
Results = Mapping[str, Any]  # of a benchmark: the figures of each arm
MEANING = """Accuracy on real test images in percent, mean and spread over seeds, each with source images, generation and
training of its own. In brackets, the share of the gap between `erm` (the real images alone) and `real_balanced` (as many
more real ones, the ceiling): 0 % is worth nothing, 100 % as much as real images, less than 0 % does harm. The generator was
trained on images from the renderer that also draws the test images: that flatters every row with generated images. A claim
holds (yes), or the contrary does (no), where the means of both rows lie apart by more than their spreads together; one draw
settles nothing.
"""


def gaps_closed(arms: Results) -> dict[str, float]:
    """The share of the gap between ERM and the ceiling that each other arm closes."""
    low, high = arms[BASELINE]["mean"], arms[CEILING]["mean"]
    if high <= low:
        return {}
    between = {arm: figure["mean"] for arm, figure in arms.items() if arm not in (BASELINE, CEILING)}
    return {arm: (mean - low) / (high - low) for arm, mean in between.items()}


def overall(results: Mapping[str, Results]) -> dict[str, Any]:
    """Every arm of few shots, each seed averaged over the numbers of shots."""
    parts = [results[f"few_shot_{shots}"] for shots in SHOTS]
    arms = [arm for arm in parts[0] if all(arm in part for part in parts)]
    seeds = {arm: zip(*(part[arm]["values"] for part in parts), strict=True) for arm in arms}
    return {arm: summary([mean(values) for values in columns]) for arm, columns in seeds.items()}


def whole(results: Mapping[str, Results]) -> dict[str, Results]:
    """The benchmarks; of few shots, all numbers of them together where all were run."""
    return {name: arms for name, arms in results.items() if "few_shot" not in results or not name.startswith("few_shot_")}


def parts(results: Mapping[str, Results]) -> dict[str, Results]:
    """What they are made of: each number of shots, and the classes of each size."""
    columns = {name: arms for name, arms in results.items() if name not in whole(results)}
    for name, arms in results.items():
        sizes = [size for size in SIZES if all(size in figure.get("shots", {}) for figure in arms.values())]
        columns |= {f"{name}, {size}": {arm: figure["shots"][size] for arm, figure in arms.items()} for size in sizes}
    return columns


def ordered(names: Sequence[str]) -> list[str]:
    """ERM first, then the other arms without a generator, then the methods, the ceiling last."""
    order = [arm for arm in ARMS if arm not in (FIRST, CEILING)]
    return sorted(names, key=lambda name: (name == CEILING, order.index(name) if name in order else len(order)))


def table(results: Mapping[str, Results]) -> str:
    """Mean and spread of every arm on every benchmark, in percent, and the share of the gap closed, as Markdown."""
    arms = ordered(list(dict.fromkeys(arm for column in results.values() for arm in column)))
    lines = ["| | " + " | ".join(f"`{name}`" for name in results) + " |", "|---|" + "---:|" * len(results)]
    columns = []
    for figures in results.values():
        gaps = gaps_closed(figures)
        best = max(gaps, key=lambda arm: gaps[arm], default=None)
        columns.append({arm: cell(figure, gaps.get(arm), bold=arm == best) for arm, figure in figures.items()})
    lines += [f"| `{arm}` | " + " | ".join(column.get(arm, "") for column in columns) + " |" for arm in arms]
    return "\n".join(lines) + "\n"


def benchmark_table(results: Results) -> str:
    """One benchmark: every arm, and whether the claim of its paper holds here."""
    gaps, claims = gaps_closed(results), judged(results)
    best = max(gaps, key=lambda arm: gaps[arm], default=None)
    lines = ["| | accuracy | does its claim hold? |", "|---|---:|---|"]
    for arm in ordered(list(results)):
        lines.append(f"| `{arm}` | {cell(results[arm], gaps.get(arm), bold=arm == best)} | {claims_cell(claims.get(arm))} |")
    return "\n".join(lines) + "\n"


def tables(results: Mapping[str, Results]) -> str:
    """All that was found: the benchmarks beside each other where there are several, each by itself, and their parts."""
    beside = [table(part) for part in (whole(results), parts(results)) if len(part) > 1]
    return "\n".join([MEANING, *(f"## {name}\n\n{benchmark_table(arms)}" for name, arms in results.items()), *beside])


def cell(figure: Mapping[str, Any], gap: float | None = None, *, bold: bool = False) -> str:
    """'56.0 ± 1.2 (66 %)': one seed has no spread."""
    text = f"{100 * figure['mean']:.1f}"
    if len(figure["values"]) > 1:
        text += f" ± {100 * figure['std']:.1f}"
    if gap is not None:
        text += f" ({100 * gap:.0f} %)"
    return f"**{text}**" if bold else text


def sheet(store: Store, root: str) -> bytes:
    """A row of a version's images for each class, evenly spread over those that were kept."""
    plan = read_plan(store, root)
    assert plan is not None
    labels: dict[int, list[Image]] = {}
    for row in read_shards(store, root, plan):
        labels.setdefault(row["label"], []).append(decode(row["image"], allow_synthetic=True))
    rows = [images[:: max(1, len(images) // ACROSS)][:ACROSS] for _, images in sorted(labels.items())]
    return contact_sheet([image for row in rows for image in row], ACROSS)
