"""Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598), and rescaled (Lin et al. 2024, arXiv 2305.08891)."""

from torch import Tensor


def guide(conditional: Tensor, unconditional: Tensor, scale: Tensor, rescale: Tensor | None = None) -> Tensor:
    """The guided prediction of rows (n, c, h, w), each with its own scale and rescale (n,).

    A rescale of 1 gives the guided prediction the standard deviation of the conditional one, which a high scale has made
    larger: with zero terminal SNR, images are overexposed else. 0 leaves it, as None does all of them.
    """
    guided = unconditional + scale.view(-1, 1, 1, 1) * (conditional - unconditional)
    if rescale is None:
        return guided
    dims = (1, 2, 3)
    ratio = conditional.std(dims, keepdim=True) / guided.std(dims, keepdim=True)
    return guided * (1 + rescale.view(-1, 1, 1, 1) * (ratio - 1))
