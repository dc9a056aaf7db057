"""Diffusion Curriculum (DisCL, ICCV 2025, arXiv 2410.13674): the generated half of the batches is of one strength at a time.

Diverse to specific: from the highest strength to the lowest, whose images are nearest to real ones, in 60 of 65 epochs, and
then real images alone. Or adaptive: 15 of 20 epochs, each at the strength that last gained most.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from pipelines.records import Examples
from pipelines.training.loop import Loop
from pipelines.training.recipes import SHARES, Mixture

WALK, ADAPTIVE_WALK = 60 / 65, 15 / 20  # shares of the steps in which a part of each batch is generated
STAGES = 15  # of the adaptive curriculum
Batches = Iterator[tuple[Tensor, Tensor, Tensor]]


def curriculum(loop: Loop, mixture: Mixture) -> Batches:
    """The batches of all steps: of `mixture`, whose generated images have strengths, or else are one stage."""
    walk = Walk(loop, mixture)
    if loop.task.recipe == "adaptive_curriculum" and loop.task.validation is not None and len(walk.levels) > 1:
        yield from adaptive(walk, loop.task.validation)
    else:
        for steps, level in zip(lengths(round(WALK * loop.steps), len(walk.levels)), walk.levels, strict=True):
            yield from walk.stage(steps, level)
    yield from walk.real()


def adaptive(walk: "Walk", validation: Examples) -> Batches:
    """Every strength once, the highest first, and then at each stage the one whose last stage raised the confidence in the
    true class most, on the validation images."""
    gains: dict[float, float] = {}
    before = confidence(walk.loop, validation)
    for steps in lengths(round(ADAPTIVE_WALK * walk.loop.steps), max(STAGES, len(walk.levels))):
        untried = [level for level in walk.levels if level not in gains]
        level = untried[0] if untried else max(walk.levels, key=gains.__getitem__)
        yield from walk.stage(steps, level)
        after = confidence(walk.loop, validation)
        gains[level], before = after - before, after


class Walk:
    """A training's batches, stage by stage."""

    def __init__(self, loop: Loop, mixture: Mixture) -> None:
        assert mixture.generated is not None
        self.loop, self.mixture, self.generated = loop, mixture, mixture.generated
        strengths = mixture.generated.examples.strengths or [1.0] * len(mixture.generated.targets)
        self.strengths = torch.tensor(strengths, dtype=torch.float64)
        self.levels = sorted(set(self.strengths.tolist()), reverse=True)  # from diverse to specific
        self.done = 0  # steps

    def stage(self, steps: int, level: float) -> Batches:
        """So many batches, whose generated images have this strength."""
        part = replace(self.mixture, generated=self.generated.weighted((self.strengths == level).float()))
        yield from self.drawn(part, steps, SHARES[self.loop.task.recipe][0])

    def real(self) -> Batches:
        """The batches that are left, of real images alone."""
        yield from self.drawn(self.mixture, self.loop.steps - self.done, 0.0)

    def drawn(self, mixture: Mixture, steps: int, share: float) -> Batches:
        self.done += steps
        draws = (mixture.draw(self.loop.task.spec.batch, share, self.loop.generator) for _ in range(steps))
        yield from self.loop.batches(mixture.read, draws)


def lengths(steps: int, stages: int) -> list[int]:
    """So many steps in stages as even as can be."""
    ends = [round(steps * stage / stages) for stage in range(stages + 1)]
    return [end - start for start, end in pairwise(ends)]


def confidence(loop: Loop, examples: Examples) -> float:
    """The mean probability that the classifier gives the true class, 0..1."""
    truth = torch.tensor([*map(loop.task.classes.index, examples.labels)])
    return float(loop.model.scores(examples.images).softmax(dim=1)[torch.arange(len(truth)), truth].mean())
