"""Fit a classifier on real images, alone or half and half with generated ones."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.progress import Stage
from pipelines.records import Image
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.tensors import choose_device
from pipelines.training.metrics import Score, score
from pipelines.vision.classifier import Classifier

SHIFT = 1 / 16  # of the image's side, the largest random displacement
CHECKS = 10  # times that a fit looks at the validation images


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
        return augment(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, generator), self.targets[rows]


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    count, side = len(x), x.shape[-1]
    mirror = torch.randint(2, (count,), generator=generator).float() * 2 - 1
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * SHIFT
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0], affine[:, 1, 1], affine[:, :, 2] = mirror, 1, torch.round(shift * side / 2) * 2 / side
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="nearest", padding_mode="reflection", align_corners=False)


def fit(
    spec: ClassifierSpec,
    classes: Sequence[str],
    real: Feed,
    generated: Feed | None,
    validation: Examples,
    *,
    gamma: float,
    seed: int,
    device: str,
    progress: Stage,
    select: bool = True,
) -> tuple[Classifier, Score]:
    """Train for `spec.steps` and return the checkpoint that did best on the validation images, with its score.

    Without `select` the last checkpoint is returned, so that no group label plays a part. With `generated`, half of each
    batch is generated and its loss counts `gamma` times (DDB, arXiv 2503.17226).
    """
    torch.manual_seed(seed)
    where = choose_device(device)
    model = Classifier(classes, spec.checkpoint).to(where)
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, spec.learning_rate, total_steps=spec.steps)
    generator = torch.Generator().manual_seed(seed)
    best, best_score = copy.deepcopy(model.state_dict()), None
    for step in range(1, spec.steps + 1):
        model.train()
        if generated is None:
            x, y = real.draw(spec.batch, generator)
            weight = torch.ones(len(y))
        else:
            parts = (real.draw(spec.batch // 2, generator), generated.draw(spec.batch - spec.batch // 2, generator))
            x, y = (torch.cat(pair) for pair in zip(*parts, strict=True))
            weight = torch.cat([torch.ones(len(parts[0][1])), torch.full((len(parts[1][1]),), gamma)])
        losses = F.cross_entropy(model(x.to(where)), y.to(where), reduction="none", label_smoothing=0.05)
        loss = (losses * weight.to(where)).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        progress(1)
        if step % max(1, spec.steps // CHECKS) == 0 or step == spec.steps:
            now = score(model.scores(validation.images), classes, validation.labels, validation.groups)
            if best_score is None or not select or now.choice > best_score.choice:
                best, best_score = copy.deepcopy(model.state_dict()), now
    assert best_score is not None
    model.load_state_dict(best)
    return model.eval(), best_score
