"""Personalized representations (Sundaram et al., ICLR 2025, arXiv 2412.16156): for a few real images, learned of generated.

As there, InfoNCE: a real image of a class is an anchor, generated images of its class are positives, and generated images of
others its negatives. Then a class is known by the mean of its real images' features: what is most alike by cosine. The paper
learns a LoRA of DINOv2 for one class against generic images; here it is the classifier of the spec, all of its weights, for
all of its classes. Not in it: the paper's filter of generated images by their likeness to the real ones.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.contrastive_loss import contrastive_loss
from pipelines.training.loop import Loop
from pipelines.training.recipes import Draws, Mixture, shares
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

TEMPERATURE = 0.07  # of the published code


def masks(targets: Tensor, generated: Tensor) -> tuple[Tensor, Tensor]:
    """Positives and negatives of a batch, bool (n, n), by class numbers and whether an image is generated, (n,)."""
    same, pairs = targets[:, None] == targets, ~generated[:, None] & generated
    return pairs & same, pairs & ~same


def know_by_means(model: Classifier, task: Task) -> None:
    """Give the last layer the means of the real images' features, of length 1, so that the most alike has the highest logit;
    0 for a class without any."""
    features, targets = F.normalize(model.features(task.real.examples.images), dim=1), task.real.targets
    members = F.one_hot(targets, len(task.classes)).to(features)
    means = F.normalize(members.T @ features, dim=1)
    model.set_head(means / TEMPERATURE, torch.zeros(len(means)))


def personalized(task: Task) -> Classifier:
    """A classifier by the nearest mean, whose features are trained. `task.generated` must have images."""
    assert task.generated is not None
    loop, mixture = Loop(task), Mixture(task.real, task.generated, task.gammas)

    def read(draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        x, y, _ = mixture.read(draws)
        real = 0 if draws[0] is None else len(draws[0].rows)
        return x, y, torch.arange(len(y)) >= real

    halves = shares(task.recipe, task.real, task.generated)
    draws = mixture.draws(loop.steps, task.spec.batch, halves, loop.generator)
    for step, (x, y, generated) in enumerate(loop.batches(read, draws), start=1):
        loop.model.train()
        features, _ = loop.features_and_logits(x)
        positives, negatives = masks(y.to(loop.device), generated.to(loop.device))
        loop.step(contrastive_loss(features, positives, TEMPERATURE, negatives))
        if loop.due(step):
            know_by_means(loop.model, task)
            loop.check(step)
    return loop.finish()
