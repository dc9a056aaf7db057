"""DDIM (Song et al. 2021, arXiv 2010.02502) for rows at different noise levels. Symbols as in `backbones.schedule`."""

from torch import Tensor

from pipelines.backbones.schedule import add_noise


def advance(xt: Tensor, output: Tensor, abar: Tensor, abar_next: Tensor, prediction: str) -> Tensor:
    """One deterministic DDIM step: rows (n, c, h, w), each with its own abar and abar_next (n, 1, 1, 1)."""
    if prediction == "epsilon":
        eps = output
        x0 = (xt - (1 - abar).sqrt() * eps) / abar.sqrt()
    elif prediction == "sample":
        x0 = output
        eps = (xt - abar.sqrt() * x0) / (1 - abar).sqrt()
    else:
        x0 = abar.sqrt() * xt - (1 - abar).sqrt() * output
        eps = abar.sqrt() * output + (1 - abar).sqrt() * xt
    return add_noise(x0, eps, abar_next)
