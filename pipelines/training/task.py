"""What every algorithm that trains a downstream classifier is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pipelines.progress import Stage
from pipelines.records import Examples
from pipelines.spec import Checkpoint, Precision, Recipe
from pipelines.spec import Classifier as ClassifierSpec
from pipelines.training.batches import Feed


@dataclass(frozen=True, slots=True)
class Task:
    """One classifier to train."""

    spec: ClassifierSpec
    classes: Sequence[str]
    real: Feed
    generated: Feed | None
    validation: Examples | None
    gamma: float | Mapping[str, float]  # weight of a generated image's loss, for all classes or for each
    seed: int
    device: str
    progress: Stage
    recipe: Recipe = "mixed"
    checkpoint: Checkpoint = "best"
    precision: Precision = "auto"  # of mixed precision, on a GPU
    apart: Examples | None = None  # generated images, set apart from training

    @property
    def selection(self) -> Examples | None:
        """The images that checkpoints are chosen on: real ones with their groups only where the worst is to be best.
        None: the last one is taken."""
        if self.checkpoint == "last":
            return None
        if self.checkpoint == "generated" and self.apart is not None:
            return self.apart
        if self.checkpoint in ("best", "subpopulations") or self.validation is None:
            return self.validation
        return replace(self.validation, groups=[None] * len(self.validation))

    @property
    def gammas(self) -> Tensor:
        """The weight of a generated image of each class: float32 (classes,)."""
        weights = [self.gamma[c] if isinstance(self.gamma, Mapping) else self.gamma for c in self.classes]
        return torch.tensor(weights, dtype=torch.float32)

    def of_steps(self, steps: int) -> Self:
        """The same with another number of optimisation steps."""
        return replace(self, spec=self.spec.model_copy(update={"steps": steps}))
