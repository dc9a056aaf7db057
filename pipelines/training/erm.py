"""Empirical risk minimisation: on real images, alone or with generated ones by one of several recipes."""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from pipelines.chance import derive
from pipelines.spec.evaluation import CURRICULA
from pipelines.training.curriculum import curriculum
from pipelines.training.last_layer import retrain
from pipelines.training.loop import Loop
from pipelines.training.recipes import Mixture, prior, shares
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

Augmentation = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]  # pictures, targets, classes -> pictures, targets


def erm(task: Task, augmentation: Augmentation | None = None) -> Classifier:
    """In a batch of real and generated images, the loss of a generated one counts `gamma` times, or as often as `gamma`
    says for its class (DDB, arXiv 2503.17226). Of a recipe with two parts, only the second's checkpoints are chosen from.
    """
    real, generated, recipe, gammas = task.real, task.generated, task.recipe, task.gammas
    loop, (early, late) = Loop(task), shares(recipe, real, generated)
    if recipe == "adaptive_inflation" and generated is not None:  # inflated data need less augmentation (arXiv 2403.12448)
        real, generated = real.displaced_less(late), generated.displaced_less(late)
    mixture = Mixture(real, generated, gammas)
    draws = mixture.draws(loop.steps, task.spec.batch, (early, late), loop.generator)
    walked = recipe in CURRICULA and generated is not None
    batches = curriculum(loop, mixture) if walked else loop.batches(mixture.read, draws)
    for step, (x, y, weight) in enumerate(batches, start=1):
        second = step > loop.steps // 2
        loop.model.train()
        if recipe == "last_layer" and generated is not None and second:
            loop.model.train_head(anew=step == loop.steps // 2 + 1)
        if augmentation is not None:
            x, y = augmentation(x, y, len(task.classes))
        logits = loop.logits(x)
        if recipe == "balanced_softmax":
            logits = logits + prior(real, generated, gammas, late if second else early).log().to(loop.device)
        losses = F.cross_entropy(logits, y.to(loop.device), reduction="none", label_smoothing=0.05)
        loop.step((losses * weight.to(loop.device)).sum() / weight.sum())
        if second or early == late:
            loop.check(step)
    model = loop.finish()
    if recipe == "retrained" and generated is not None and task.apart is not None:
        retrain(model, task.apart, task.classes, derive(task.seed, "retrained"))
    return model
