"""Just Train Twice (Liu et al., ICML 2021, arXiv 2107.09044): what a short training gets wrong counts more in a second.

No group label is read in training. Both trainings together take as many steps as one of ERM.
"""

from dataclasses import replace

import torch

from pipelines.training.erm import erm
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

SHARE = 0.2  # of the steps that the first training takes: the paper's 60 of 300 epochs on Waterbirds
UPWEIGHT = 50  # times that a misclassified image is drawn: as on CelebA; the paper tunes it among 20, 50, 100


def jtt(task: Task) -> Classifier:
    """The second classifier, trained anew on the training images, those that the first misclassifies drawn more often."""
    first = min(max(1, round(SHARE * task.spec.steps)), task.spec.steps - 1)
    plain = replace(task, generated=None, recipe="mixed")
    identifier = erm(replace(plain.of_steps(first), validation=None, apart=None))
    errors = identifier.scores(task.real.examples.images).argmax(dim=1) != task.real.targets
    weights = torch.where(errors, float(UPWEIGHT), 1.0)
    return erm(replace(plain.of_steps(task.spec.steps - first), real=task.real.weighted(weights)))
