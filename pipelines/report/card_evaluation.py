"""The part of a dataset card about its evaluation."""

from collections.abc import Mapping
from typing import Any

from pipelines.report import figures
from pipelines.report.amounts import advice, points
from pipelines.report.confusion import confusion_change, most_changed
from pipelines.report.harm import harms, share
from pipelines.report.headline import caveats, headline
from pipelines.report.markdown import table, text
from pipelines.report.worst import worst_part
from pipelines.spec import VersionSpec

NOT_ASKED_FOR = "Not measured: the spec asks for no evaluation."
CLASSES = 10  # those that gain and lose most by the version
MEASURED_LATER = (
    "Measured once the version is published, and this card with it, which never changes: the accuracies are in\n"
    "`evaluation.json` beside this card, and with charts and samples in `report/report.html`. While `evaluation.json` is\n"
    "not there, the evaluation has not ended, or it failed and can be tried again."
)


def evaluation(spec: VersionSpec, counts: Mapping[str, Any], quality: Mapping[str, Any]) -> str:
    """The headline with its caveats, then the accuracies; where there are none, where they will be."""
    if not quality.get("arms"):
        return NOT_ASKED_FOR if spec.evaluation is None else MEASURED_LATER
    summary = {"gap_closed": None, "probe_auc": None, **quality, "counts": counts}
    lines = [f"**{headline(summary)}.**", *(f"- {caveat}" for caveat in caveats(summary))]
    rows = [
        (text(figures.title(arm)), figures.percent(result["worst_group"]), figures.percent(result["average"]))
        for arm, result in ((arm, quality["arms"][arm]) for arm in figures.ordered(quality["arms"]))
    ]
    lines += ["", table(("trained on", worst_part(quality["arms"]), "average"), rows)]
    if (probe := summary["probe_auc"]) is not None:
        lines += ["", f"A probe tells real from generated within one class and group with an AUC of {probe:.2f} (0.5: not)."]
    return "\n".join([*lines, *by_amount(summary), *by_class(summary)])


def by_amount(summary: Mapping[str, Any]) -> list[str]:
    """How many images are enough, and the accuracy with each amount, where that was measured."""
    advised = advice(summary)
    if advised is None:
        return []
    rows = [
        (f"{p['images']:,}", f"{p['ratio']:.2g}", figures.percent(p["worst_group"]), figures.percent(p["average"]))
        for p in points(summary)
    ]
    head = ("generated images", "for each real one", worst_part(summary["arms"]), "average")
    return ["", text(advised["text"]), "", table(head, rows)]


def by_class(summary: Mapping[str, Any]) -> list[str]:
    """The classes that gain and lose most, where there are confusion matrices."""
    changes = confusion_change(summary)
    if changes is None:
        return []
    rows = [
        (text(c.true), share(c.before), share(c.after), f"{100 * c.change:+.1f}")
        for c in most_changed(changes.classes, CLASSES)
    ]
    return ["", table(("class", "real images alone", "with this version", "points"), rows)]


def harm(counts: Mapping[str, Any], quality: Mapping[str, Any]) -> str:
    """The first line of a card, where generated data harms."""
    summary = {"arms": {}, "gap_closed": None, **quality, "counts": counts}
    return f"> **{text(headline(summary))}.**\n\n" if harms(summary) else ""
