"""Fit a classifier by one of the training algorithms: the one table."""

from collections.abc import Callable, Mapping, Sequence

from pipelines.progress import Stage
from pipelines.records import Examples
from pipelines.spec import Checkpoint, Precision, Recipe
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.spec.arms import Training
from pipelines.training.batches import Feed
from pipelines.training.classical import classical
from pipelines.training.contrastive import contrastive
from pipelines.training.dfr import dfr
from pipelines.training.erm import erm
from pipelines.training.group_dro import group_dro
from pipelines.training.jtt import jtt
from pipelines.training.multi_positive import multi_positive
from pipelines.training.personalized import personalized
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

ALGORITHMS: dict[Training, Callable[[Task], Classifier]] = {
    "erm": erm,
    "classical": classical,
    "group_dro": group_dro,
    "jtt": jtt,
    "dfr": dfr,
}
RECIPES: dict[Recipe, Callable[[Task], Classifier]] = {  # with a loss of their own; all others are ERM's
    "contrastive": contrastive,
    "personalized": personalized,
    "multi_positive": multi_positive,
}


def train(task: Task, training: Training = "erm") -> Classifier:
    """By the algorithm of an arm, or of the recipe by which ERM trains on generated images."""
    own = RECIPES.get(task.recipe) if training == "erm" and task.generated is not None else None
    return (own or ALGORITHMS[training])(task)


def fit(
    spec: ClassifierSpec,
    classes: Sequence[str],
    real: Feed,
    generated: Feed | None,
    validation: Examples | None,
    *,
    gamma: float | Mapping[str, float],
    seed: int,
    device: str,
    progress: Stage,
    recipe: Recipe = "mixed",
    training: Training = "erm",
    checkpoint: Checkpoint = "best",
    precision: Precision = "auto",
    apart: Examples | None = None,
) -> Classifier:
    """Train for `spec.steps`; return the checkpoint that did best on the images that `checkpoint` says, the validation
    images or generated ones that were set `apart`; without any, the last.

    Group DRO, JTT and DFR train on the real images alone.
    """
    task = Task(
        spec, classes, real, generated, validation,
        gamma=gamma, seed=seed, device=device, progress=progress, recipe=recipe, checkpoint=checkpoint,
        precision=precision, apart=apart,
    )  # fmt: skip
    return train(task, training)
