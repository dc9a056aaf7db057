"""Entropy guidance (Deliberate Practice, ICML 2025, arXiv 2502.15588): rows are led to what a classifier is unsure of.

eps~ = eps - omega grad H(f(D(x0))), the gradient with regard to xt: H is the entropy in nats of classifier f's prediction
for x0 as it is predicted now, decoded by the autoencoder D. The denoiser's prediction is taken for constant: a step costs a
pass through D and f and back, none back through the denoiser. The paper writes +omega; this sign is the one that raises H.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.backbones.schedule import Levels

Network = Callable[[Tensor], Tensor]
LEAST_ALPHA = 0.05  # where less of x0 is in xt, its prediction is no image yet, and the gradient grows without bound


def entropy(logits: Tensor) -> Tensor:
    """Of each row's prediction, in nats: logits (n, classes) to (n,)."""
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def middle(pixels: Tensor) -> Tensor:
    """The largest square in the middle of pictures (n, 3, h, w)."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]


def entropy_gradient(x0: Tensor, decode: Network, classify: Network) -> Tensor:
    """The gradient, shaped as the latents x0, of each row's own entropy. `decode` gives pixels of about -1..1, `classify`
    logits of pictures."""
    with torch.inference_mode(False), torch.enable_grad():
        latents = x0.detach().clone().requires_grad_()
        total = entropy(classify(middle(decode(latents).clamp(-1, 1)))).sum()
        return torch.autograd.grad(total, latents)[0]


def lead(x0: Tensor, gradient: Tensor, scale: Tensor, level: Levels) -> Tensor:
    """x0 as the led eps~ predicts it: of rows (n, c, h, w), each with its own scale omega (n,) and noise level; `gradient`
    is the one with regard to x0, which is alpha times that with regard to xt."""
    shift = scale.view(-1, 1, 1, 1) * level.sigma / level.alpha.clamp(min=LEAST_ALPHA) ** 2
    return x0 + torch.where(level.alpha < LEAST_ALPHA, 0, shift) * gradient
