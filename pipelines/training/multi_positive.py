"""Multi-positive contrastive learning (StableRep, NeurIPS 2023, arXiv 2306.00984): images of one prompt are one thing.

In the first half of the steps features are learned from generated images alone: those of a group, siblings of one prompt,
are drawn together, and away from all others; no label is read. In the second half the last layer is fitted to real images,
on features that stay as they are. Six images of a group are in a batch, and the temperature is 0.1, as in the paper. Not in
it: the paper's projection head, and its thousands of images a batch.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.records import Examples
from pipelines.training.batches import Draw, Feed
from pipelines.training.contrastive_loss import contrastive_loss
from pipelines.training.loop import Loop
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

TEMPERATURE = 0.1
POSITIVES = 6  # images of a group in a batch


def group_numbers(examples: Examples) -> Tensor:
    """The group of each image, int64 (n,): by `groups`; those without one belong with the others of their class."""
    names = [
        ("class", label) if group is None else ("group", group)
        for label, group in zip(examples.labels, examples.groups, strict=True)
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])


def draws(feed: Feed, groups: Tensor, steps: int, batch: int, generator: torch.Generator) -> Iterator[Draw]:
    """So many batches of about `batch` images: `POSITIVES` of each of some groups, which are drawn at random."""
    members = [(groups == number).nonzero().flatten() for number in range(int(groups.max()) + 1)]
    count = max(2, batch // POSITIVES)
    for _ in range(steps):
        order = torch.randperm(len(members), generator=generator).repeat(-(-count // len(members)))[:count]
        chosen = [members[number] for number in order.tolist()]
        rows = [own[torch.randint(len(own), (POSITIVES,), generator=generator)] for own in chosen]
        yield replace(feed.draw(count * POSITIVES, generator), rows=torch.cat(rows))


def multi_positive(task: Task) -> Classifier:
    """`task.generated` must have images, with the groups that they belong to."""
    assert task.generated is not None
    generated, real, loop = task.generated, task.real, Loop(task)
    groups, first = group_numbers(generated.examples), loop.steps // 2

    def read(draw: Draw) -> tuple[Tensor, Tensor]:
        return generated.read(draw)[0], groups[draw.rows]

    for x, group in loop.batches(read, draws(generated, groups, first, task.spec.batch, loop.generator)):
        loop.model.train()
        features, _ = loop.features_and_logits(x)
        loop.step(contrastive_loss(features, (group[:, None] == group).to(loop.device), TEMPERATURE))
    loop.model.train_head(anew=True)
    rest = (real.draw(task.spec.batch, loop.generator) for _ in range(loop.steps - first))
    for step, (x, y) in enumerate(loop.batches(real.read, rest), start=first + 1):
        loop.model.train_head(anew=False)
        loop.step(F.cross_entropy(loop.logits(x), y.to(loop.device), label_smoothing=0.05))
        loop.check(step)
    return loop.finish()
