"""How many images practice needs to be as good as an even spread: `python -m tests.benchmarks.practice OUT [SEEDS [MOST]]`.

Deliberate Practice (arXiv 2502.15588) says a third. Seven garments that the built-in model has words for, four real images
of each. All series begin with the same even spread, and a refresh doubles the version, up to MOST generated images a class:
spread evenly again, chosen by the filter `entropy`, or led by `entropy_guidance`. A seed is one of shots, generation and
training. It writes curve.json and curve.svg into OUT, and goes on where it was stopped.
"""

import sys
from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

from matplotlib import rc_context

from pipelines.builtin.world import COLOURS, SCENES, place
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.report.figures import COLOURS as LINES
from pipelines.report.figures import STYLE, axes, svg
from pipelines.spec import parse
from pipelines.spec.arms import VERSION
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store

ROUNDS = 5  # that double the version
CLASSES = ("t-shirt", "trousers", "pullover", "dress", "coat", "shirt", "bag")
METHOD = {
    "type": "text_to_image",
    "steps": 10,
    "templates": ["a photo of a {colour} {} {scene}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
FILTERS = [{"type": "quality"}, {"type": "clip_score"}]
EVEN = "even"
WAYS: dict[str, dict[str, Any]] = {  # what later rounds have beside the first
    EVEN: {},
    "ranked": {"filters": [*FILTERS, {"type": "entropy"}], "max_attempts": 6},
    "guided": {"method": {**METHOD, "entropy_guidance": 0.5}},
}
Point = tuple[float, float]  # generated images, and accuracy


def version(store: Store, way: str, number: int, per_class: int, seed: int) -> Job:
    """One version of a series, a refresh of the one before."""
    arms = ["erm", VERSION] if (way, number) == (EVEN, 1) else [VERSION]
    document = {
        "name": f"practice-{way}-s{seed}",
        "source": {"type": "few-shot", "classes": CLASSES, "shots": 4, "validation": 14, "test": 700, "seed": seed},
        "method": METHOD,
        "filters": FILTERS,
        "amount": {"per_class": per_class},
        "classifier": {"steps": 300},
        "evaluation": {"gamma": 1, "checkpoint": "last", "seeds": [seed], "arms": arms},
        "seed": seed,
        **(WAYS[way] if number > 1 else {}),
    }
    return Job(parse(document), store, Silent(), number, number - 1 or None)


def series(store: Store, way: str, amounts: Sequence[int], seed: int) -> list[Point]:
    """The versions of a series; that of the even spread begins with real images alone."""
    points = []
    for number, amount in enumerate(amounts, 1):
        job = version(store, way, number, amount, seed)
        job.check()
        job.generate(range(job.plan.written_shards))
        counts, arms = job.finalize()["counts"], job.evaluate()["arms"]
        points += [(0, arms["erm"]["average"]["mean"])] if "erm" in arms else []
        points.append((counts["kept"] + counts.get("carried", 0), arms[VERSION]["average"]["mean"]))
    return points


def averaged(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """The mean curve of seeds."""
    return [(mean(n for n, _ in points), mean(a for _, a in points)) for points in zip(*curves, strict=True)]


def images_needed(curve: Sequence[Point], accuracy: float) -> float | None:
    """With how many images a curve first reaches an accuracy, on straight lines over the logarithm of the number; None where
    it never does."""
    before: Point | None = None
    for images, reached in curve:
        if reached >= accuracy:
            if before is None or not before[0]:
                return images
            share = (accuracy - before[1]) / (reached - before[1])
            return exp(log(before[0]) + share * (log(images) - log(before[0])))
        before = images, reached
    return None


def ratios(spread: Sequence[Point], curve: Sequence[Point]) -> list[dict[str, float | None]]:
    """At the accuracy of each amount of the even spread, but for the first, which both have: the share of its images that
    practice needs."""
    rows = []
    for _, accuracy in spread[1:]:
        first, needed = images_needed(spread, accuracy), images_needed(curve, accuracy)
        ratio = None if needed is None or not first else round(needed / first, 3)
        rows.append({"accuracy": round(accuracy, 4), "even": first, "practice": needed, "ratio": ratio})
    return rows


@rc_context(STYLE)
def drawn(curves: Mapping[str, Sequence[Point]]) -> str:
    """Accuracy by generated images, a line a curve; real images alone are a dotted one."""
    figure, plot = axes(2.6, "y")
    for colour, (name, curve) in zip(LINES, curves.items(), strict=False):
        points = [(images, 100 * accuracy) for images, accuracy in curve if images]
        plot.plot(*zip(*points, strict=True), color=colour, linewidth=1.8, marker="o", markersize=3.5, label=name)
    plot.axhline(100 * curves[EVEN][0][1], linestyle=":", linewidth=0.8, color=LINES[-1])
    plot.set_xscale("log", base=2)
    ticks = [round(images) for images, _ in curves[EVEN][1:]]
    plot.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    plot.set_xlabel("generated images")
    plot.set_ylabel("accuracy on real images, %")
    figure.legend(loc="outside upper left", ncols=3, frameon=False, handlelength=1)
    says = "; ".join(f"{name}: {', '.join(f'{n:.0f} {100 * a:.1f} %' for n, a in curve)}" for name, curve in curves.items())
    return svg(figure, "practice", f"Accuracy by generated images. {says}")


def main(out: str, seeds: int = 2, most: int = 160) -> None:
    store, amounts = Store.open(Path(out)), [most // 2**left for left in reversed(range(ROUNDS))]
    runs: dict[str, list[list[Point]]] = {way: [] for way in WAYS}
    for seed in range(seeds):
        for way, own in runs.items():
            own.append(series(store, way, amounts, seed))
            print(f"seed {seed}, {way}: {', '.join(f'{n} {100 * a:.1f} %' for n, a in own[-1])}", flush=True)
    curves = {way: averaged(own) for way, own in runs.items()}
    ratio = {way: ratios(curves[EVEN][1:], curve) for way, curve in curves.items() if way != EVEN}
    store.put("curve.json", canonical({"runs": runs, "mean": curves, "ratios": ratio}))
    store.put("curve.svg", drawn(curves).encode())
    for name, rows in ratio.items():
        print(f"\n| accuracy | even spread | {name} | ratio |\n|---:|---:|---:|---:|")
        for row in rows:
            numbers = ["never" if row[key] is None else f"{row[key]:.0f}" for key in ("even", "practice")]
            print(f"| {100 * (row['accuracy'] or 0):.1f} % | {numbers[0]} | {numbers[1]} | {row['ratio'] or ''} |")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
