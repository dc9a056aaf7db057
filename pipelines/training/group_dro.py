"""Group DRO: minimise the loss of the worst group (Sagawa et al., ICLR 2020, arXiv 1911.08731). Reads group labels.

A group is a class on one value of the spurious attribute. Batches are drawn group by group, as in the published code, and
the checkpoint is the one with the best worst group on the validation images: the paper's early stopping.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.records import Examples
from pipelines.training.batches import Draw
from pipelines.training.loop import Loop
from pipelines.training.metrics import group_name
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

STEP_SIZE = 0.01  # of the groups' weights
ADJUSTMENT = 1.0  # generalisation adjustment; 0 is none, the paper tunes it among 0, 1, ... 5


def group_numbers(examples: Examples) -> Tensor:
    """The number of each image's group: int64 (n,), from 0."""
    names = [group_name(label, group) for label, group in zip(examples.labels, examples.groups, strict=True)]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return torch.tensor([numbers[name] for name in names])


def group_means(losses: Tensor, groups: Tensor, count: int) -> Tensor:
    """The mean loss of each group of a batch, (count,); 0 where it has no image of one."""
    members = F.one_hot(groups, count).to(losses)
    return losses @ members / members.sum(dim=0).clamp(min=1)


def ascend(weights: Tensor, losses: Tensor) -> Tensor:
    """The groups' weights after a step of exponentiated gradient ascent on their losses; they sum to 1."""
    raised = weights * (STEP_SIZE * losses).exp()
    return raised / raised.sum()


def group_dro(task: Task, adjustment: float = ADJUSTMENT) -> Classifier:
    """Each step raises the weights of the groups with a high loss, then descends the weighted loss.

    `adjustment` over the square root of a group's size is added to its loss: small groups generalise worse.
    """
    groups = group_numbers(task.real.examples)
    sizes = torch.bincount(groups).float()
    feed, loop = task.real.weighted(1 / sizes[groups]), Loop(task)
    groups, adjustments = groups.to(loop.device), (adjustment / sizes.sqrt()).to(loop.device)
    weights = torch.full_like(adjustments, 1 / len(sizes))

    def read(draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        return *feed.read(draw), draw.rows

    draws = (feed.draw(task.spec.batch, loop.generator) for _ in range(loop.steps))
    for step, (x, y, rows) in enumerate(loop.batches(read, draws), start=1):
        loop.model.train()
        logits = loop.logits(x)
        losses = F.cross_entropy(logits, y.to(loop.device), reduction="none", label_smoothing=0.05)
        means = group_means(losses, groups[rows.to(loop.device)], len(sizes)) + adjustments
        weights = ascend(weights, means.detach())
        loop.step(weights @ means)
        loop.check(step)
    return loop.finish()
