"""Small pictures with a shortcut: the class is a faint blue tint, the spurious attribute a strong red one."""

from typing import Any

import numpy as np

from pipelines.progress import Silent
from pipelines.records import Examples
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.training.batches import Feed
from pipelines.training.metrics import Score, score
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

CLASSES = ("plain", "blue")
GROUPS = ("pale", "red")
SIDE = 16


def shortcut(majority: int, minority: int, seed: int = 0) -> Examples:
    """Every class on its own group `majority` times, on the other's `minority` times."""
    rng = np.random.default_rng(seed)
    images, labels, groups = [], [], []
    for number, label in enumerate(CLASSES):
        for place, count in ((number, majority), (1 - number, minority)):
            for _ in range(count):
                picture = rng.integers(60, 120, (SIDE, SIDE, 3))
                picture[..., 2] += 5 * number
                picture[..., 0] += 100 * place
                images.append(picture.astype(np.uint8))
                labels.append(label)
                groups.append(GROUPS[place])
    return Examples(images, labels, groups)


def task(real: Examples, validation: Examples | None, **changes: Any) -> Task:
    steps = changes.pop("steps", 60)
    settings: dict[str, Any] = {"gamma": 1.0, "seed": 0, "device": "cpu", "progress": Silent().stage("fit", steps)}
    spec = ClassifierSpec(steps=steps, batch=32)
    return Task(spec, CLASSES, Feed(real, CLASSES), validation=validation, **{"generated": None, **settings, **changes})


def scored(model: Classifier, examples: Examples) -> Score:
    return score(model.scores(examples.images), CLASSES, examples.labels, examples.groups)
