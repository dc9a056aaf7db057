"""One deterministic step for rows (n, c, h, w), each at its own noise level, by its own solver: see `backbones.solvers`."""

from torch import Tensor

from pipelines.backbones.schedule import Levels


def predicted_x0(xt: Tensor, output: Tensor, levels: Levels, prediction: str) -> Tensor:
    """What the denoiser's output says of x0, by its prediction type. Symbols as in `backbones.schedule`."""
    if prediction == "epsilon":
        return (xt - levels.sigma * output) / levels.alpha
    if prediction == "sample":
        return output
    if prediction == "flow":
        return xt - levels.sigma * output
    return levels.alpha * xt - levels.sigma * output


def advance(xt: Tensor, x0: Tensor, x0_previous: Tensor, weights: Tensor) -> Tensor:
    """The latents at the next noise level. `weights` (n, 3) are those of `backbones.schedule.Weights`; `x0_previous` must be
    finite where its weight is 0, too."""
    a, b, c = weights.view(-1, 3, 1, 1, 1).unbind(1)
    return a * xt + b * x0 + c * x0_previous
