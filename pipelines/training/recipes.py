"""Recipes: how generated images are mixed into training, and how their loss is weighted."""

import torch
from torch import Tensor

from pipelines.spec import Recipe
from pipelines.training.batches import Feed

# Share of each batch that is generated, in the first half of the steps and in the second.
SHARES: dict[Recipe, tuple[float, float]] = {
    "mixed": (0.5, 0.5),
    "fake_to_real": (1.0, 0.0),
    "balanced_softmax": (0.5, 0.5),
    "last_layer": (0.0, 1.0),
}


def prior(real: Feed, generated: Feed | None, gammas: Tensor, share: float) -> Tensor:
    """How much of a batch's loss falls to each class, (classes,), summing to 1 (Ren et al. 2020, arXiv 2007.10740)."""
    count = len(gammas)
    mass = (1 - share) * torch.bincount(real.targets, minlength=count) / len(real.targets)
    if generated is not None:
        mass = mass + share * gammas * torch.bincount(generated.targets, minlength=count) / len(generated.targets)
    mass = mass.clamp(min=1e-6)
    return mass / mass.sum()


def mixed(
    real: Feed, generated: Feed | None, batch: int, gammas: Tensor, generator: torch.Generator, share: float = 0.5
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch with the weight of each loss; a `share` of it is generated. `gammas` has the weight of each class."""
    own = batch if generated is None else int(batch * (1 - share))
    parts = [(*real.draw(own, generator), torch.ones_like(gammas))] if own else []
    if generated is not None and own < batch:
        parts.append((*generated.draw(batch - own, generator), gammas))
    weight = torch.cat([weights[y] for _, y, weights in parts])
    return torch.cat([x for x, _, _ in parts]), torch.cat([y for _, y, _ in parts]), weight
