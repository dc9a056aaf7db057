"""Recipes: how generated images are mixed into training, and how their loss is weighted."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.spec import Recipe
from pipelines.training.batches import Draw, Feed

Draws = tuple[Draw | None, Draw | None]  # of the real images and of the generated ones, where a batch has any

INFLATION = 10  # times that AdaInf draws a real image for a generated one
# Share of each batch that is generated, in the first half of the steps and in the second; AdaInf's is by their numbers.
SHARES: dict[Recipe, tuple[float, float]] = {
    "mixed": (0.5, 0.5),
    "fake_to_real": (1.0, 0.0),
    "balanced_softmax": (0.5, 0.5),
    "last_layer": (0.0, 1.0),
    "retrained": (0.5, 0.5),
    "subpopulations": (0.5, 0.5),
    "curriculum": (0.5, 0.5),  # until real images alone are left
    "adaptive_curriculum": (0.5, 0.5),
    "contrastive": (0.5, 0.5),
    "personalized": (0.5, 0.5),
    "multi_positive": (1.0, 0.0),
}


def shares(recipe: Recipe, real: Feed, generated: Feed | None) -> tuple[float, float]:
    """Share of each batch that is generated, in the first half of the steps and in the second."""
    if generated is None:
        return 0.0, 0.0
    if recipe in SHARES:
        return SHARES[recipe]
    share = len(generated.targets) / (INFLATION * len(real.targets) + len(generated.targets))
    return share, share


def prior(real: Feed, generated: Feed | None, gammas: Tensor, share: float) -> Tensor:
    """How much of a batch's loss falls to each class, (classes,), summing to 1 (Ren et al. 2020, arXiv 2007.10740)."""
    count = len(gammas)
    mass = (1 - share) * torch.bincount(real.targets, minlength=count) / len(real.targets)
    if generated is not None:
        mass = mass + share * gammas * torch.bincount(generated.targets, minlength=count) / len(generated.targets)
    mass = mass.clamp(min=1e-6)
    return mass / mass.sum()


@dataclass(frozen=True, slots=True)
class Mixture:
    """Batches of real and generated images."""

    real: Feed
    generated: Feed | None
    gammas: Tensor  # the weight of a generated image of each class

    def draw(self, batch: int, share: float, generator: torch.Generator) -> Draws:
        """A batch of which a `share` is generated."""
        own = batch if self.generated is None else int(batch * (1 - share))
        real = self.real.draw(own, generator) if own else None
        return real, None if self.generated is None or own == batch else self.generated.draw(batch - own, generator)

    def draws(self, steps: int, batch: int, shares: tuple[float, float], generator: torch.Generator) -> Iterator[Draws]:
        """One for each step, with a share of generated images for each half of them."""
        for step in range(1, steps + 1):
            yield self.draw(batch, shares[step > steps // 2], generator)

    def read(self, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """A batch with the weight of each loss."""
        kinds = ((self.real, torch.ones_like(self.gammas)), (self.generated, self.gammas))
        parts = [
            (*feed.read(draw), weights)
            for (feed, weights), draw in zip(kinds, draws, strict=True)
            if feed is not None and draw is not None
        ]
        weight = torch.cat([weights[y] for _, y, weights in parts])
        return torch.cat([x for x, _, _ in parts]), torch.cat([y for _, y, _ in parts]), weight
