"""One deterministic solver for rows at different noise levels. Symbols as in `backbones.schedule`.

Of diffusion it is DDIM (Song et al. 2021, arXiv 2010.02502), of flow matching Euler's method.
"""

from torch import Tensor

from pipelines.backbones.schedule import Levels, add_noise


def advance(xt: Tensor, output: Tensor, levels: Levels, levels_next: Levels, prediction: str) -> Tensor:
    """One step of rows (n, c, h, w): what the output says of x0 and eps, at the next noise level."""
    alpha, sigma = levels.alpha, levels.sigma
    if prediction == "epsilon":
        eps = output
        x0 = (xt - sigma * eps) / alpha
    elif prediction == "sample":
        x0 = output
        eps = (xt - alpha * x0) / sigma
    elif prediction == "flow":
        x0 = xt - sigma * output
        eps = xt + alpha * output
    else:
        x0 = alpha * xt - sigma * output
        eps = alpha * output + sigma * xt
    return add_noise(x0, eps, levels_next)
