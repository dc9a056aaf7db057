"""What a reader must know of an evaluation beside its figures: arms that hold fewer images, and what flatters them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.records import Examples
from pipelines.spec import VersionSpec
from pipelines.spec.arms import ARMS
from pipelines.spec.base import quantity
from pipelines.spec.helpers import rendered, warnings
from pipelines.spec.models import BUNDLED

FLATTERED = (
    "The generator was trained on images from the renderer that also draws the test images: that flatters every arm with "
    "generated images, and the share of the gap."
)
FEW_TESTS = 50  # test images of a group, or class, below which that is noted


def shortfall(added: Examples, sizes: Mapping[str, int]) -> dict[str, int]:
    """By class, how many images fewer an arm adds than the version holds; classes that lack none are left out."""
    counts = Counter(added.labels)
    return {label: count - counts[label] for label, count in sizes.items() if count > counts[label]}


def incomplete(arm: str, missing: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count} of {label}" for label, count in missing.items())
    return f"The arm {arm} has fewer images than the version: it lacks {parts}."


def few_tests(counts: Mapping[str, int]) -> list[str]:
    """That a difference may be chance, where test images of the smallest group are few; `counts` of each."""
    name = min(counts, key=lambda name: counts[name])
    if counts[name] >= FEW_TESTS:
        return []
    count = counts[name]
    images = f"there {'is' if count == 1 else 'are'} {quantity(count, 'test image')}"
    return [f"Of {name} {images}: one more or less is {100 / count:.1f} points."]


def notes(spec: VersionSpec, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Sentences, of the runs of each arm."""
    lines = warnings(spec)
    lines += [incomplete(arm, run["missing"]) for arm, (run, *_) in runs.items() if run.get("missing")]
    generated = any(ARMS[arm].addition in ("version", "text_to_image") for arm in runs)
    if rendered(spec) and generated and spec.models.text_to_image in BUNDLED:
        lines.append(FLATTERED)
    return lines
