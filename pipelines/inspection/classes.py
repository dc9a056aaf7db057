"""Classes and groups: too small, of very unlike sizes, missing; by themselves, and for what a spec asks."""

from collections.abc import Iterator
from math import ceil

from pipelines.errors import SourceError, SpecError
from pipelines.inspection.findings import Finding
from pipelines.source import requirements
from pipelines.source.source import Source
from pipelines.source.splits import SPLITS
from pipelines.spec import VersionSpec
from pipelines.spec.base import quantity
from pipelines.spec.filters import Calibrated

IMBALANCE = 10.0  # times that the largest class is as large as the smallest
LEARNED = 4  # images of a class, at least, from which tokens and LoRAs are learned: textual inversion's three to five
TESTED = 20  # test images of a class: one is worth five points of its accuracy


def class_findings(source: Source, spec: VersionSpec | None) -> list[Finding]:
    texts = [*small(source), *unbalanced(source)]
    if spec is not None:
        texts += needs(source, spec)
    return [Finding("classes", text, -float(number)) for number, text in enumerate(texts)] + group_findings(source)


def small(source: Source) -> Iterator[str]:
    for label in source.classes:
        sizes = {split: len(source.of(label, split)) for split in SPLITS}
        if sizes["train"] == 1:
            yield f"{label} has a single training image; add some"
        for split in ("validation", "test"):
            if source.splits[split] and not sizes[split]:
                yield f"{label} has no {split} image, where other classes have some; add some"


def unbalanced(source: Source) -> Iterator[str]:
    sizes = {label: len(source.of(label)) for label in source.classes}
    largest, smallest = max(sizes, key=lambda label: sizes[label]), min(sizes, key=lambda label: sizes[label])
    if sizes[largest] >= IMBALANCE * sizes[smallest]:
        yield (
            f"{largest} has {sizes[largest]:,} training images and {smallest} {sizes[smallest]:,}; "
            "amount: {balance: classes} fills every class up to the largest"
        )


def needs(source: Source, spec: VersionSpec) -> Iterator[str]:
    """What the spec's method, shots, filters and evaluation ask of the images."""
    try:
        requirements.check(spec, source)
    except (SourceError, SpecError) as error:
        yield str(error)
    shots = getattr(spec.source, "shots", None)
    learns = [name for name in ("inversion", "lora") if getattr(spec.method, name) is not None]
    for label in source.classes:
        count = len(source.of(label))
        if spec.source.type != "few-shot" and shots is not None and count < shots:
            yield f"source.shots: {label} has {quantity(count, 'training image')}, fewer than {shots}; add some"
        if learns and count < LEARNED:
            images = quantity(count, "training image")
            yield f"method.{learns[0]}: {label} has {images} to learn from; add some, or leave it out"
        tested = len(source.of(label, "test"))
        if spec.evaluation is not None and 0 < tested < TESTED:
            images = quantity(tested, "test image")
            yield f"evaluation: {label} has {images}, each worth {100 / tested:.0f} points of its accuracy"
    for filter_ in spec.filters:
        if isinstance(filter_, Calibrated) and filter_.calibrate is not None and filter_.calibrate < 1:
            count, least = len(source.splits["validation"]), ceil(1 / (1 - filter_.calibrate) - 1e-9)
            if 0 < count < least:
                yield (
                    f"filters.{filter_.type}.calibrate: {filter_.calibrate} of {quantity(count, 'validation image')} is all "
                    f"of them; add some, {least} in all, or a smaller share"
                )


def group_findings(source: Source) -> list[Finding]:
    """Splits in which some images have a group and others have none."""
    findings = []
    for split in SPLITS:
        items = source.splits[split]
        missing = sum(item.group is None for item in items)
        if 0 < missing < len(items):
            text = f"{missing:,} of {quantity(len(items), split + ' image')} have no group; name it in metadata.csv"
            findings.append(Finding("groups", text, float(missing)))
    return findings
