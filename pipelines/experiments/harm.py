"""Is a version that harms ever the latest? Random specs, what their evaluations hold, and how their models really are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import hypot
from pathlib import Path
from statistics import mean
from typing import Any

from pipelines.errors import CounterpoiseError
from pipelines.evaluation.evaluator import Evaluator, aggregate
from pipelines.experiments.random_specs import RandomSpec, draw, fresh_test
from pipelines.job import Job
from pipelines.progress import Progress
from pipelines.records import Examples
from pipelines.report.harm import deviation, image_counts, whole_harms
from pipelines.report.hold import worse_than_real
from pipelines.report.markdown import table
from pipelines.run import run
from pipelines.spec.arms import BASELINE, VERSION
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.training.metrics import group_name

SEEDS = (100, 101, 102)  # of the trainings that tell how the models really are: no evaluation's of the specs
IMAGES = 480  # that they are tested on
METRICS = ("worst_group", "average")
HEAD = ("source", "method", "`erm`", "`counterpoise`", "spread", "verdict", "`erm`, fresh", "`counterpoise`, fresh", "fresh")
MEANING = """Accuracy in the worst group (or class) / on average, in percent. An evaluation decides by its own trainings and
test images; "fresh" are trainings with other seeds, tested on other real images, labelled right. Worse: beyond the spread of
`erm` and `counterpoise` together, and no gain of the worst group for a loss on average.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a spec."""

    name: str
    source: str
    method: str
    error: str | None = None  # why there is no version
    evaluation: Mapping[str, Any] | None = None
    held: str | None = None
    fresh: Mapping[str, Any] | None = None  # the evaluation by other trainings on other images

    @property
    def verdict(self) -> str:
        return "not made" if self.error else "held" if self.held else "published"

    @property
    def harmed(self) -> bool:
        """Whether worst group or average are below those of real images alone beyond the spread, by the evaluation."""
        return self.evaluation is not None and bool(whole_harms(self.evaluation))

    @property
    def worse(self) -> bool:
        """Whether its model really is worse than that of real images alone."""
        return self.fresh is not None and worse_than_real(self.fresh) is not None

    def change(self, metric: str) -> float:
        """From real images alone to the version, by fresh trainings."""
        assert self.fresh is not None
        before, after = (self.fresh["arms"][arm][metric]["mean"] for arm in (BASELINE, VERSION))
        return float(after - before)


def part(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """What harm is judged by."""
    arms = {
        arm: {name: figures[name] for name in (*METRICS, "groups", "classes")} for arm, figures in evaluation["arms"].items()
    }
    return {"arms": arms, "test_images": dict(evaluation["test_images"]), "counts": evaluation["counts"]}


def fresh(drawn: RandomSpec, store: Store, summary: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """The evaluation of a version that was made, by other trainings on other real images."""
    assert drawn.spec.evaluation is not None
    job = Job(drawn.spec, store, progress, summary["version"])
    again = drawn.spec.evaluation.model_copy(update={"seeds": SEEDS})
    evaluator = Evaluator(job.resources, job.plan, job.method, again)
    test = fresh_test(drawn, IMAGES)
    side = job.resources.view.side
    pixels = [job.resources.view.fit(image, side) for image in test.images]
    evaluator.data.test = Examples(pixels, test.labels, test.groups)
    counts = Counter(group_name(label, group) for label, group in zip(test.labels, test.groups, strict=True))
    return part({"arms": aggregate(evaluator.run()), "test_images": counts, "counts": summary["counts"]})


def outcome(drawn: RandomSpec, out: Path, progress: Progress) -> Outcome:
    spec = drawn.spec
    try:
        summary = run(spec, out, progress)
    except CounterpoiseError as error:
        return Outcome(spec.name, drawn.source, drawn.method, error=str(error))
    again = fresh(drawn, Store.open(out), summary, progress) if VERSION in summary["arms"] else None
    return Outcome(spec.name, drawn.source, drawn.method, None, part(summary), summary["held"], again)


def harm(seed: int, count: int, out: Path, progress: Progress) -> dict[str, Any]:
    """Make and evaluate as many random specs, and again by other trainings; a table and all figures lie in `out`. Stopped
    and started again, it goes on where it was."""
    outcomes: list[Outcome] = []
    for drawn in draw(seed, count, out):
        outcomes.append(outcome(drawn, out, progress))
        progress.say(f"{len(outcomes)} of {count}: {drawn.source}, {drawn.method}: {outcomes[-1].verdict}")
    report: dict[str, Any] = {"sum": total(outcomes), "specs": [asdict(one) for one in outcomes]}
    store = Store.open(out)
    store.put("harm.json", canonical(report))
    store.put("harm.md", "\n".join([MEANING, table(HEAD, list(map(row, outcomes))), "", sentence(report["sum"])]).encode())
    return report


def outcomes_of(report: Mapping[str, Any]) -> list[Outcome]:
    """Those of a report of `harm`."""
    return [Outcome(**one) for one in report["specs"]]


def total(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The sum of all specs; changes are those of published versions from real images alone, by fresh trainings."""
    made = [one for one in outcomes if one.evaluation is not None]
    published = [one for one in made if not one.held]
    changes = {metric: [one.change(metric) for one in published if one.fresh] for metric in METRICS}
    return {
        "specs": len(outcomes),
        "made": len(made),
        "harmed": sum(one.harmed for one in made),
        "held": sum(one.held is not None for one in made),
        "harmed_and_published": sum(one.harmed and not one.held for one in made),
        "held_and_worse": sum(one.worse for one in made if one.held),
        "published_and_worse": sum(one.worse for one in published),
        "change": {metric: mean(values) if values else None for metric, values in changes.items()},
    }


def sentence(totals: Mapping[str, Any]) -> str:
    """The sum in words."""
    return (
        f"Of {totals['specs']} specs {totals['made']} were made. {totals['harmed']} harmed worst group or average beyond "
        f"the spread, by their own evaluation: {totals['held']} were held, and {totals['harmed_and_published']} published, "
        f"whose worst group gained. By fresh trainings {totals['held_and_worse']} of those held are worse than real images "
        f"alone, and {totals['published_and_worse']} of the {totals['made'] - totals['held']} published.\n"
    )


def cell(arm: Mapping[str, Any]) -> str:
    """'58.3 / 70.1'."""
    return " / ".join(f"{100 * arm[metric]['mean']:.1f}" for metric in METRICS)


def spread(evaluation: Mapping[str, Any]) -> str:
    """The standard deviations of both arms together, in points."""
    counts = image_counts(evaluation)
    arms = [evaluation["arms"][arm] for arm in (BASELINE, VERSION)]
    return " / ".join(f"{100 * hypot(*(deviation(arm[m], counts[m]) for arm in arms)):.1f}" for m in METRICS)


def row(one: Outcome) -> tuple[str, ...]:
    cells = [f"`{one.source}`", f"`{one.method}`"]
    if one.evaluation is None or one.fresh is None:
        return (*cells, *[""] * 3, one.verdict, *[""] * 3)
    before, after = ([e["arms"][arm] for arm in (BASELINE, VERSION)] for e in (one.evaluation, one.fresh))
    own = [*map(cell, before), spread(one.evaluation), one.verdict]
    return (*cells, *own, *map(cell, after), "worse" if one.worse else "no worse")
