"""What needs no generator: RandAugment (arXiv 1909.13719), and CutMix (1905.04899) or MixUp (1710.09412) by turns."""

import torch
from kornia import augmentation as kornia
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.training.erm import erm
from pipelines.training.task import Task
from pipelines.vision.classifier import Classifier

OPERATIONS = 2  # of RandAugment, for an image
MAGNITUDE = 0.33  # share of an operation's range in the paper: 10 of 30
MIXED = 0.5  # share of batches that are mixed, half by CutMix and half by MixUp


def operations(magnitude: float) -> list[nn.Module]:
    """RandAugment's operations, those that invert colours left out. How much of one is drawn for every image, evenly up to
    `magnitude`, 0..1, of the paper's range. (Kornia's own RandAugment draws its operations once for a whole batch.)
    """
    colour = (1 - 0.9 * magnitude, 1 + 0.9 * magnitude)  # factors
    shear, shift = 17 * magnitude, 0.3 * magnitude  # degrees, share of the side
    return [
        nn.Identity(),
        kornia.RandomAutoContrast(p=1),
        kornia.RandomEqualize(p=1),
        kornia.RandomPosterize((8 - 4 * magnitude, 8), p=1),
        kornia.RandomBrightness(colour, p=1),
        kornia.RandomContrast(colour, p=1),
        kornia.RandomSaturation(colour, p=1),
        kornia.RandomSharpness(0.9 * magnitude, p=1),
        kornia.RandomRotation(30 * magnitude, p=1),
        kornia.RandomShear((-shear, shear), p=1),
        kornia.RandomShear((0, 0, -shear, shear), p=1),
        kornia.RandomTranslate(translate_x=(-shift, shift), p=1),
        kornia.RandomTranslate(translate_y=(-shift, shift), p=1),
    ]


class Classical:
    """Augments batches by kornia. Draws from torch's global random numbers, as kornia does."""

    def __init__(self, magnitude: float = MAGNITUDE, mixed: float = MIXED) -> None:
        self.operations, self.mixed = operations(magnitude), mixed
        self.cutmix = kornia.RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
        self.mixup = kornia.RandomMixUpV2(data_keys=["input", "class"])

    def __call__(self, x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, h, w) in -1..1 and class numbers (n,) to pictures and each class's share in them (n, classes)."""
        pixels = self.alter((x + 1) / 2).clamp(0, 1)
        if float(torch.rand(())) >= self.mixed:
            return pixels * 2 - 1, F.one_hot(y, classes).float()
        pixels, shares = self.mix(pixels, y, classes)
        return pixels * 2 - 1, shares

    def alter(self, pixels: Tensor) -> Tensor:
        """RandAugment of pictures in 0..1: different operations for every one."""
        pixels = pixels.clone()
        chosen = torch.rand(len(pixels), len(self.operations)).argsort(dim=1)[:, :OPERATIONS]
        for turn in chosen.T:
            for number, operation in enumerate(self.operations):
                rows = (turn == number).nonzero().flatten()
                if len(rows):
                    pixels[rows] = operation(pixels[rows])
        return pixels

    def mix(self, pixels: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """CutMix or MixUp of pictures in 0..1, and each class's share in them (n, classes)."""
        cutting = bool(torch.randint(2, ()))
        pixels, labels = (self.cutmix if cutting else self.mixup)(pixels, y)
        own, other, share = labels.reshape(-1, 3).unbind(dim=1)
        kept = share if cutting else 1 - share  # CutMix says the first picture's share, MixUp the second's
        shares = F.one_hot(own.long(), classes).T * kept + F.one_hot(other.long(), classes).T * (1 - kept)
        return pixels, shares.T


def classical(task: Task) -> Classifier:
    """ERM on strongly augmented images."""
    return erm(task, Classical())
