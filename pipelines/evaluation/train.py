"""One training of an evaluation, and its scores: a function of data alone, so that it can run in a process of its own."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipelines import spec
from pipelines.progress import Stage
from pipelines.records import Examples, Image
from pipelines.spec.arms import ARMS
from pipelines.training.batches import Feed
from pipelines.training.fit import fit
from pipelines.training.metrics import score, shots


@dataclass(frozen=True)
class Training:
    """What one arm is trained and tested on with one seed."""

    arm: str
    classes: tuple[str, ...]
    real: Examples
    twins: Sequence[Image] | None  # re-encoded versions of the real images
    weights: Sequence[float] | None  # how often each real image is drawn; None: all as often
    added: Examples | None
    apart: Examples | None  # of what an arm adds, set apart to choose checkpoints by
    validation: Examples | None
    test: Examples
    classifier: spec.Classifier
    evaluation: spec.Evaluation
    seed: int
    device: str
    precision: spec.Precision


def train_and_score(training: Training, progress: Stage) -> dict[str, Any]:
    """Accuracies of the trained classifier on the test images, as they are stored."""
    classes, test = training.classes, training.test
    real = Feed(training.real, classes, training.twins, training.evaluation.reencode).weighted(training.weights)
    classifier = fit(
        training.classifier,
        classes,
        real,
        None if training.added is None else Feed(training.added, classes),
        training.validation,
        gamma=training.evaluation.gamma,
        recipe=training.evaluation.recipe,
        training=ARMS[training.arm].training,
        checkpoint=training.evaluation.checkpoint,
        seed=training.seed,
        device=training.device,
        precision=training.precision,
        apart=training.apart,
        progress=progress,
    )
    figures = score(classifier.scores(test.images), classes, test.labels, test.groups)
    added = 0 if training.added is None else len(training.added)
    return {**asdict(figures), "shots": shots(figures.classes, Counter(training.real.labels)), "added": added}
