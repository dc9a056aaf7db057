"""What an evaluation says, in one sentence, and what speaks against it: for the page, the card and the terminal."""

from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

from pipelines.report.harm import FEWEST, Harm, harms, image_counts, share
from pipelines.report.worst import worst_part
from pipelines.spec.arms import BASELINE, PLAIN, VERSION
from pipelines.spec.base import quantity

LISTED = 2  # accuracies that are harmed, in the headline


def carried(counts: Mapping[str, Any]) -> str:
    """The count of samples carried over from an earlier version, if any."""
    return f", {counts['carried']:,} carried over" if counts.get("carried") else ""


def images(counts: Mapping[str, Any]) -> str:
    """How many images a version has, in words: kept of those generated for it, and carried over."""
    if counts.get("carried") and not counts["generated"]:
        return f"{quantity(counts['carried'], 'image')} carried over, none generated"
    return f"{quantity(counts['kept'], 'image')} kept of {counts['generated']:,} generated{carried(counts)}"


def headline(summary: Mapping[str, Any]) -> str:
    """The result in one sentence, or two where generated data harms: then the first says that. A difference within the
    standard deviation over seeds is no clear effect. Without any arm no evaluation was asked for, or the caveats say why
    there is none."""
    arms, counts = summary["arms"], summary["counts"]
    if VERSION in arms and not counts["kept"] and not counts.get("carried"):
        return (
            f"None of {counts['generated']:,} generated images was kept, so there was nothing to train on beside real data"
        )
    if not arms:
        return images(counts)
    if VERSION not in arms:
        return f"Not evaluated: {images(counts)}"
    accuracy = f"{worst_part(arms).replace(' ', '-')} accuracy"
    if BASELINE not in arms:
        mean = arms[VERSION]["worst_group"]["mean"]
        return f"{accuracy.capitalize()} {share(mean)}; training on real data alone was not evaluated"
    harmed = harms(summary)
    if not harmed:
        return comparison(summary, accuracy)
    warning = f"Generated data harms: {listed(harmed)} below real data alone"
    return warning if harmed[0].name == accuracy else f"{warning}. {comparison(summary, accuracy)}"


def listed(harmed: Sequence[Harm]) -> str:
    """What is harmed, the first few."""
    texts = [harm.text for harm in harmed[:LISTED]]
    return "; ".join([*texts, f"{len(harmed) - LISTED:,} more"] if len(harmed) > LISTED else texts)


def comparison(summary: Mapping[str, Any], accuracy: str) -> str:
    """The worst group's accuracy with real images alone and with the version."""
    before, after = (summary["arms"][arm]["worst_group"] for arm in (BASELINE, VERSION))
    change, gap = after["mean"] - before["mean"], summary["gap_closed"]
    result = f"{accuracy.capitalize()} {share(before['mean'])} → {share(after['mean'])}"
    if change == 0:
        return f"{result}: no effect"
    if abs(change) <= hypot(before["std"], after["std"]):
        return f"{result}: no clear effect, the seeds differ as much"
    fewest = image_counts(summary)["worst_group"]  # evaluations of before they were counted have none
    if fewest and abs(change) * fewest < FEWEST:
        return f"{result}: no clear effect, it is about one image of {fewest}"
    if change < 0:
        return f"{result}: {-100 * change:.1f} points worse than real data alone"
    if gap is None or gap <= 0:
        return f"{result}: {100 * change:.1f} points better than real data alone"
    closed = "the whole gap" if gap >= 1 else f"{100 * gap:.0f} % of the gap"
    return f"{result}: {closed} between ERM and the ceiling in {accuracy} closed"


def caveats(summary: Mapping[str, Any]) -> list[str]:
    """Reasons for doubt about the headline: that the version is held, one seed, a better baseline, a telling probe."""
    notes, arms, probe = [], summary["arms"], summary["probe_auc"]
    if held := summary.get("held"):
        notes.append(f"Held, and not the latest version until somebody promotes it: {held}.")
    version, real, plain = arms.get(VERSION), arms.get(BASELINE), arms.get(PLAIN)
    if version and len(version["worst_group"]["values"]) < 2:
        notes.append("Trained with one seed only: the difference may be chance.")
    if version and plain and plain["worst_group"]["mean"] >= version["worst_group"]["mean"]:
        notes.append(
            "Plain text-to-image, by the classes' names, does as well or better: "
            f"{share(plain['worst_group']['mean'])} in the {worst_part(arms)}."
        )
    harmed = any(harm.name == "average accuracy" for harm in harms(summary))  # the headline says it then
    if version and real and not harmed and version["average"]["mean"] < real["average"]["mean"]:
        before, after = (share(arm["average"]["mean"]) for arm in (real, version))
        notes.append(f"Average accuracy went down: {before} → {after}.")
    if probe is not None and probe >= 0.75:
        notes.append(
            f"A probe tells real from generated images of one class and group with an AUC of {probe:.2f}: "
            "a classifier may learn that difference instead of the classes."
        )
    return [*notes, *summary.get("notes", [])]  # evaluations of before there were notes have none
