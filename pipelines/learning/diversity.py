"""DomainStudio's losses (Zhu et al. 2023, arXiv 2306.14153): a model that is adapted to few images keeps the relative
distances that the original model's images have, and learns fine detail.

All are of x0 as it is predicted from images at one noise level, by the adapted model and by the original one. The paper
decodes it to pixels; here it is latents, through which gradients cost a fraction. It has the original model draw images to
compare with; here that predicts the same training images.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

DETAIL = 1e-3  # weight of the detail beside the distances', as in the paper's code: 0.1 beside 100


def log_similarities(x: Tensor) -> Tensor:
    """The logarithm of how similar each of n is to the others, (n, n - 1): a softmax of the cosines between them."""
    vectors = F.normalize(x.flatten(1), dim=1)
    others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return (vectors @ vectors.T)[others].view(len(x), -1).log_softmax(dim=1)


def distance_loss(adapted: Tensor, original: Tensor) -> Tensor:
    """How far relative distances are from the original ones: KL(adapted || original), the mean of its n (n - 1) terms. 0 of
    fewer than three."""
    if len(adapted) < 3:
        return adapted.sum() * 0
    now, before = log_similarities(adapted), log_similarities(original)
    return (now.exp() * (now - before)).mean()


def detail(x: Tensor) -> Tensor:
    """The high frequencies of (n, c, h, w) by the Haar wavelet, (n, c, h // 2, w // 2): LH + HL + HH. Of odd sides the last
    row or column is left out."""
    height, width = x.shape[-2] // 2 * 2, x.shape[-1] // 2 * 2
    top, bottom = x[..., 0:height:2, :width], x[..., 1:height:2, :width]
    low, high = (top + bottom) / 2, (bottom - top) / 2  # of rows: each wavelet divides by the root of two
    left, right = slice(0, None, 2), slice(1, None, 2)
    of_columns = low[..., right] - low[..., left]
    return of_columns + (high[..., left] + high[..., right]) + (high[..., right] - high[..., left])


def diversity_loss(adapted: Tensor, original: Tensor, x0: Tensor) -> Tensor:
    """The distances of images and of their detail, and the detail against that of the training images: all (n, c, h, w)."""
    details = detail(adapted)
    distances = distance_loss(adapted, original) + distance_loss(details, detail(original))
    return distances + DETAIL * (details - detail(x0)).square().mean()
