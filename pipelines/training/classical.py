"""What needs no generator: RandAugment (arXiv 1909.13719), and CutMix (1905.04899) or MixUp (1710.09412) by turns."""

import torch
from kornia.augmentation import RandomCutMixV2, RandomMixUpV2
from kornia.augmentation.auto import RandAugment
from torch import Tensor
from torch.nn import functional as F

OPERATIONS, MAGNITUDE = 2, 10  # of RandAugment: operations an image, strength of 30


class Classical:
    """Augments batches by kornia. Draws from torch's global random numbers, as kornia does."""

    def __init__(self) -> None:
        self.alter = RandAugment(n=OPERATIONS, m=MAGNITUDE)
        self.cutmix = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
        self.mixup = RandomMixUpV2(data_keys=["input", "class"])

    def __call__(self, x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, h, w) in -1..1 and class numbers (n,) to pictures and each class's share in them (n, classes)."""
        cutting = bool(torch.randint(2, ()))
        pixels, labels = (self.cutmix if cutting else self.mixup)(self.alter((x + 1) / 2).clamp(0, 1), y)
        own, other, share = labels.reshape(-1, 3).unbind(dim=1)
        kept = share if cutting else 1 - share  # CutMix says the first picture's share, MixUp the second's
        shares = F.one_hot(own.long(), classes).T * kept + F.one_hot(other.long(), classes).T * (1 - kept)
        return pixels * 2 - 1, shares.T
