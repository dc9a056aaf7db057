"""What a spec requires of its source, checked before anything is learned. Imports no torch."""

from collections import Counter
from collections.abc import Mapping

from pipelines.errors import SourceError, SpecError
from pipelines.source.source import Source
from pipelines.spec import Evaluation, VersionSpec
from pipelines.spec.arms import ARMS
from pipelines.spec.evaluation import Checkpoint
from pipelines.spec.filters import Calibrated
from pipelines.spec.helpers import TOKENS, check_helpers, segmenter_users

CHOSEN_BY_VALIDATION: tuple[Checkpoint, ...] = ("best", "average", "subpopulations")
WITHOUT_VALIDATION = (
    "or cut some from those to train on by validation_share: 0.15, or choose checkpoints without, by evaluation.checkpoint: "
    "generated"
)


def check(spec: VersionSpec, source: Source) -> None:
    """Raises SpecError or SourceError that says what is missing."""
    check_helpers(spec)
    for filter_ in spec.filters:
        if isinstance(filter_, Calibrated) and filter_.calibrate is not None:
            check_calibration(filter_.type, source)
    check_superclass(spec, source)
    check_classes("method.names", spec.method.names, source)
    check_image_words(spec, source)
    if spec.evaluation is not None:
        check_evaluation(spec.evaluation, source)


def check_superclass(spec: VersionSpec, source: Source) -> None:
    """Raises SpecError for a superclass by class that names no class of the source, or lacks one whose objects are looked
    for."""
    words = spec.method.superclass
    if words is None or isinstance(words, str):
        return
    check_classes("method.superclass", words, source)
    missing = [label for label in source.classes if not words.get(label)]
    users = [user for user in segmenter_users(spec) if user != TOKENS]  # tokens are learned of some classes alone
    if missing and users:
        raise SpecError(
            f"method.superclass: {words} has no word for class {missing[0]!r}, and {users[0]} needs the object in images of "
            f"every class; add {missing[0]}: WORD, or give one word for all"
        )


def check_image_words(spec: VersionSpec, source: Source) -> None:
    """Raises SpecError for a training image without words, where those of images are given."""
    of_images, items = spec.method.image_words, source.splits["train"]
    if isinstance(of_images, dict) and (missing := [item.id for item in items if item.id not in of_images]):
        raise SpecError(
            f"method.image_words: {len(missing)} of {len(items)} training images have none, {missing[0]!r} first; add them, "
            "or give by_clip, with lists to choose from in words"
        )


def check_classes(field: str, words: Mapping[str, str], source: Source) -> None:
    classes = set(source.classes)
    unknown = [label for label in words if label not in classes]
    if unknown:
        raise SpecError(f"{field}: {unknown[0]!r} is no class of the source, whose classes are {', '.join(source.classes)}")


def check_calibration(filter_type: str, source: Source) -> None:
    if not source.splits["validation"]:
        raise SourceError(
            f"filters.{filter_type}.calibrate: the source has no validation images to calibrate on; add some, or leave "
            "it out"
        )


def check_groups(arm: str, split: str, source: Source) -> None:
    """Raises SourceError unless every image of the split has a group, and no group stands alone."""
    items = source.splits[split]
    sizes = Counter((item.label, item.group) for item in items)
    if missing := sum(item.group is None for item in items):
        raise SourceError(
            f"evaluation.arms: {arm} reads the group of every {split} image, and {missing} of {len(items)} have none; name "
            "the groups of the source (of a folder, in a metadata.csv), or leave the arm out"
        )
    if split == "validation" and min(sizes.values()) < 2:
        label, group = min(sizes, key=lambda pair: sizes[pair])
        raise SourceError(
            f"evaluation.arms: {arm} needs two validation images of each group, one to learn from and one to choose by; "
            f"there is one of {label} on {group}: add some, or leave the arm out"
        )


def check_evaluation(spec: Evaluation, source: Source) -> None:
    if isinstance(spec.gamma, dict) and set(spec.gamma) != set(source.classes):
        raise SpecError(
            f"evaluation.gamma: needs a weight for each of {', '.join(source.classes)}; has {', '.join(spec.gamma)}"
        )
    validates = spec.checkpoint in CHOSEN_BY_VALIDATION or any(ARMS[arm].groups == "validation" for arm in spec.arms)
    for split in ("validation", "test") if validates else ("test",):
        if not source.splits[split]:
            raise SourceError(
                f"source: no {split} images to evaluate with; add a {split}/ folder with a folder for each class"
                + (f", {WITHOUT_VALIDATION}" if split == "validation" else "")
            )
        missing = [label for label in source.classes if not source.of(label, split)]
        if missing:
            instead = ", choose none by evaluation.checkpoint: last," if split == "validation" else ""
            raise SourceError(
                f"source: no {split} images of class {', '.join(missing)}; add some{instead} or do not evaluate"
            )
    if spec.recipe == "adaptive_curriculum" and not source.splits["validation"]:
        raise SourceError(
            "evaluation.recipe: adaptive_curriculum chooses strengths on validation images, and the source has none; add "
            "some, or take recipe: curriculum"
        )
    for arm in spec.arms:
        labelled = ARMS[arm].groups
        if labelled is not None:
            check_groups(arm, labelled, source)
        unused = ARMS[arm].split
        if unused is not None and not source.splits.get(unused):
            raise SourceError(
                f"evaluation.arms: {arm} needs unused real images, which built-in sources alone have; leave it out"
            )
