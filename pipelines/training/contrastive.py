"""Contrastive debiasing (CDvG, ICML 2023, arXiv 2112.01021; BLADE, 2510.04174): features that ignore the background.

Both translate an image into another bias and draw the features of the two together; BLADE also holds them apart from images
of the same bias. Here a version is the translation: a class painted into images of another, whose background it has then.
What an image is painted into stands for its background, and for that of a real image its own class, so no group label is
read. Of an image, those of its class on other backgrounds are positives, and those of other classes on its background
negatives. Not in it: the papers' translators, pairs of an image and its own translation, and BLADE's weights by bias.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.records import Examples
from pipelines.training.contrastive_loss import contrastive_loss
from pipelines.training.loop import Loop
from pipelines.training.recipes import Draws, Mixture, shares
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

TEMPERATURE = 0.1  # of the supervised contrastive loss, arXiv 2004.11362
WEIGHT = 1.0  # of that loss beside cross-entropy


def masks(targets: Tensor, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and negatives of a batch, bool (n, n), by class and background numbers (n,)."""
    same_class, same_background = (numbers[:, None] == numbers for numbers in (targets, backgrounds))
    return same_class & ~same_background, ~same_class & same_background


def background_numbers(examples: Examples, classes: Sequence[str]) -> Tensor:
    """The class whose background each generated image has, by `groups`, int64 (n,); its own where that is not known."""
    names = (label if origin is None else origin for label, origin in zip(examples.labels, examples.groups, strict=True))
    return torch.tensor([classes.index(name) for name in names])


def contrastive(task: Task) -> Classifier:
    """ERM on real and generated images, with the contrastive loss of their features added. `task.generated` must have
    images, with the classes of their backgrounds as groups."""
    assert task.generated is not None
    loop, mixture = Loop(task), Mixture(task.real, task.generated, task.gammas)
    backgrounds = background_numbers(task.generated.examples, task.classes)

    def read(draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        real, generated = draws
        parts = [] if real is None else [task.real.targets[real.rows]]
        parts += [] if generated is None else [backgrounds[generated.rows]]
        return *mixture.read(draws), torch.cat(parts)

    halves = shares(task.recipe, task.real, task.generated)
    draws = mixture.draws(loop.steps, task.spec.batch, halves, loop.generator)
    for step, (x, y, weight, background) in enumerate(loop.batches(read, draws), start=1):
        loop.model.train()
        features, logits = loop.features_and_logits(x)
        y, weight, background = (part.to(loop.device) for part in (y, weight, background))
        losses = F.cross_entropy(logits, y, reduction="none", label_smoothing=0.05)
        positives, negatives = masks(y, background)
        invariance = contrastive_loss(features, positives, TEMPERATURE, negatives)
        loop.step((losses * weight).sum() / weight.sum() + WEIGHT * invariance)
        loop.check(step)
    return loop.finish()
