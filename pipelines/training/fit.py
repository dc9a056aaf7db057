"""Fit a classifier on real images, alone or with generated ones by one of several recipes."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.progress import Stage
from pipelines.records import Image
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.spec import Recipe
from pipelines.tensors import choose_device
from pipelines.training.classical import Classical
from pipelines.training.metrics import Score, score
from pipelines.vision.classifier import Classifier

SHIFT = 1 / 16  # of the image's side, the largest random displacement
CHECKS = 10  # times that a fit looks at the validation images
# Share of each batch that is generated, in the first half of the steps and in the second.
SHARES: dict[Recipe, tuple[float, float]] = {
    "mixed": (0.5, 0.5),
    "fake_to_real": (1.0, 0.0),
    "balanced_softmax": (0.5, 0.5),
    "last_layer": (0.0, 1.0),
}


@dataclass(frozen=True)
class Examples:
    """Labelled images. `groups` names the spurious attribute of each, None where it is not known."""

    images: Sequence[Image]
    labels: Sequence[str]
    groups: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.images)


class Feed:
    """Draws augmented batches: mirrored half of the time, displaced a little. `twins` replace `share` of the images."""

    def __init__(
        self, examples: Examples, classes: Sequence[str], twins: Sequence[Image] | None = None, share: float = 0.5
    ) -> None:
        self.pixels = torch.from_numpy(np.stack(examples.images))
        self.twins = None if twins is None else torch.from_numpy(np.stack(twins))
        self.share = share
        self.targets = torch.tensor([classes.index(label) for label in examples.labels])

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """float32 (count, 3, h, w) in -1..1, and class numbers (count,)."""
        rows = torch.randint(len(self.pixels), (count,), generator=generator)
        pixels = self.pixels[rows]
        if self.twins is not None:
            swap = torch.rand(count, generator=generator) < self.share
            pixels = torch.where(swap[:, None, None, None], self.twins[rows], pixels)
        return augment(pixels.permute(0, 3, 1, 2), generator).float() / 127.5 - 1, self.targets[rows]


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Square pictures (n, channels, side, side), mirrored half of the time and displaced; edges are reflected."""
    count, channels, side = x.shape[:3]
    mirror = torch.randint(2, (count, 1), generator=generator).bool()
    shift = torch.round((torch.rand(count, 2, 1, generator=generator) * 2 - 1) * SHIFT * side).long()
    here = torch.arange(side)
    columns = reflected(torch.where(mirror, here, side - 1 - here) + shift[:, 0], side)
    rows = reflected(here + shift[:, 1], side)
    # Pixels are fetched whole, from one long list of them: twice as fast as sampling a grid.
    place = (torch.arange(count)[:, None, None] * side + rows[:, :, None]) * side + columns[:, None, :]
    pixels = x.permute(0, 2, 3, 1).reshape(-1, channels)[place.flatten()]
    return pixels.view(count, side, side, channels).permute(0, 3, 1, 2)


def reflected(place: Tensor, side: int) -> Tensor:
    """Places beside a row of `side` pixels as those that they mirror."""
    return torch.where(place < 0, -1 - place, torch.where(place >= side, 2 * side - 1 - place, place))


def fit(
    spec: ClassifierSpec,
    classes: Sequence[str],
    real: Feed,
    generated: Feed | None,
    validation: Examples | None,
    *,
    gamma: float | Mapping[str, float],
    seed: int,
    device: str,
    progress: Stage,
    recipe: Recipe = "mixed",
    classical: bool = False,
) -> Classifier:
    """Train for `spec.steps`; return the checkpoint that did best on the validation images, or the last without them.

    In a batch of real and `generated` images, the loss of a generated one counts `gamma` times, or as often as `gamma`
    says for its class (DDB, arXiv 2503.17226). Of a recipe with two parts, only the second's checkpoints are chosen from.
    `classical`: with the strong augmentations that need no generator.
    """
    torch.manual_seed(seed)
    where = choose_device(device)
    model = Classifier(classes, spec.checkpoint).to(where)
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.learning_rate, total_steps=spec.steps)
    generator = torch.Generator().manual_seed(seed)
    gammas = torch.tensor([gamma[c] if isinstance(gamma, Mapping) else gamma for c in classes], dtype=torch.float32)
    shares = (0.0, 0.0) if generated is None else SHARES[recipe]
    heavier = Classical() if classical else None
    best: tuple[Score, dict[str, Tensor]] | None = None
    for step in range(1, spec.steps + 1):
        second = step > spec.steps // 2
        model.train()
        if recipe == "last_layer" and generated is not None and second:
            model.train_head(anew=step == spec.steps // 2 + 1)
        x, y, weight = mixed(real, generated, spec.batch, gammas, generator, shares[second])
        if heavier is not None:
            x, y = heavier(x, y, len(classes))
        logits = model(x.to(where))
        if recipe == "balanced_softmax":
            logits = logits + prior(real, generated, gammas, shares[second]).log().to(where)
        losses = F.cross_entropy(logits, y.to(where), reduction="none", label_smoothing=0.05)
        loss = (losses * weight.to(where)).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(1)
        if shares[0] != shares[1] and not second:
            continue
        if validation is not None and (step % max(1, spec.steps // CHECKS) == 0 or step == spec.steps):
            now = score(model.scores(validation.images), classes, validation.labels, validation.groups)
            if best is None or now.choice > best[0].choice:
                best = now, copy.deepcopy(model.state_dict())
    if best is not None:
        model.load_state_dict(best[1])
    return model.eval()


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
