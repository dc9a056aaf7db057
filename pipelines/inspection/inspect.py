"""The inspection of a source, in the order in which it goes."""

from pipelines.inspection import duplicates, labels, pixels
from pipelines.inspection.classes import class_findings
from pipelines.inspection.embedder import Embedder
from pipelines.inspection.findings import Finding, Inspection
from pipelines.inspection.measure import measure
from pipelines.progress import Progress
from pipelines.records import Problem
from pipelines.source.sorting import BETWEEN_CLASSES, BETWEEN_SPLITS, REPEATS
from pipelines.source.source import Source
from pipelines.source.splits import SPLITS
from pipelines.spec import VersionSpec

TOLD_APART = 0.7  # out-of-fold accuracy below which embeddings say little of labels
EXACT = 1.0  # severity of copies to the byte: above that of any near copy


def inspect(
    source: Source, embed: Embedder, progress: Progress, *, name: str, checkpoint: str, spec: VersionSpec | None = None
) -> Inspection:
    """All findings of an opened source. `name` and `checkpoint` are what it and the embedder are called; with a `spec`,
    its needs are findings, too."""
    measured = measure(source, embed, progress)
    usable = ~pixels.blank(measured)
    pairs = duplicates.copies(measured, usable, progress)
    numbers = duplicates.clusters(pairs, len(measured))
    judged = labels.judge(measured, usable, numbers, progress)
    findings = [
        *map(problem_finding, source.problems),
        *duplicates.copy_findings(measured, pairs, numbers),
        *(labels.label_findings(measured, judged) if judged else ()),
        *class_findings(source, spec),
        *pixels.blank_findings(measured),
        *pixels.size_findings(measured),
    ]
    settings = {
        "features": checkpoint,
        "distance": duplicates.DISTANCE,
        "correlation": duplicates.CORRELATION,
        "folds": labels.FOLDS,
        "margin": labels.MARGIN,
        "agreeing_neighbours": labels.AGREEING,
        "out_of_fold_accuracy": None if judged is None else round(judged.accuracy, 4),
        "blank": pixels.BLANK,
        "unlike_size": pixels.UNLIKE,
    }
    classes = {label: {split: len(source.of(label, split)) for split in SPLITS} for label in source.classes}
    return Inspection(name, classes, settings, findings, [*source.notes, *notes(classes, judged)])


def problem_finding(problem: Problem) -> Finding:
    """A file that is not used; of copies to the byte one is, and the others are."""
    text = f"{problem.id}: {problem.reason}"
    if BETWEEN_CLASSES in problem.reason:
        return Finding("conflicts", text, EXACT)
    if BETWEEN_SPLITS in problem.reason:
        return Finding("leaks", text, EXACT)
    return Finding("copies" if problem.reason.startswith(REPEATS) else "problems", text, EXACT)


def notes(classes: dict[str, dict[str, int]], judged: labels.Judged | None) -> list[str]:
    """What the labels were judged by, or why they were not."""
    if judged is None:
        return [f"No label was judged: fewer than two classes have {labels.FOLDS} images."]
    left_out = [label for label in classes if label not in judged.classes]
    few = f"; not judged, with fewer than {labels.FOLDS} images: {', '.join(left_out)}" if left_out else ""
    doubt = " These tell the classes badly: give --features of a checkpoint that knows such images."
    return [
        f"Labels were judged by logistic regression on embeddings, in {labels.FOLDS} folds, which gives "
        f"{100 * judged.accuracy:.0f} % of the images their own label{few}."
        + (doubt if judged.accuracy < TOLD_APART else "")
    ]
