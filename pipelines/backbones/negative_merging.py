"""Negative token merging (NegToMe, Singh et al. 2024, arXiv 2412.01339): tokens are pushed away from those of another image.

After the self-attention of a UNet's up blocks every token is compared with all tokens of a reference image, and pushed away
from the one that is most like it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COARSEST = 4  # times fewer tokens a side than latents, in maps that are left alone beyond: the paper's 32 of 128, of XL


def push(x: Tensor, reference: Tensor, alpha: Tensor, threshold: Tensor) -> Tensor:
    """Tokens (n, tokens, width), pushed away from `reference`, shaped alike: x <- (1 + alpha) x - alpha x_ref, where x_ref
    is the row's most similar token there, and its cosine is above the threshold. `alpha` and `threshold`: (n,).

    Every token of x has a nearest of its own: the maximum is over the tokens of the reference. In the published code, of XL,
    it is over those of x.
    """
    cosine, nearest = (F.normalize(x, dim=-1) @ F.normalize(reference, dim=-1).mT).max(dim=-1)
    x_ref = reference.gather(1, nearest[..., None].expand_as(x))
    pushed = torch.lerp(x, x_ref, -alpha.to(x)[:, None, None])
    return torch.where((cosine > threshold.to(x)[:, None])[..., None], pushed, x)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of a forward, and the rows of it that they are pushed away from."""

    rows: Tensor  # (n,), int64
    references: Tensor  # (n,), int64: none of them is among `rows`
    alpha: Tensor  # (n,)
    threshold: Tensor  # (n,)


class NegativeMerging:
    """Of diffusers' UNet2DConditionModel. Outside of `of_pairs` its forwards are as without."""

    def __init__(self, unet: Any, compiled: bool) -> None:
        """`compiled`: whether the UNet is, or will be."""
        self.pairs: Pairs | None = None
        self.positions = 0  # of the latents
        hook = torch.compiler.disable(self.attended) if compiled else self.attended  # type: ignore[no-untyped-call]
        for name, layer in unet.up_blocks.named_modules():
            if name.endswith(".attn1"):
                layer.register_forward_hook(hook)

    def attended(self, layer: nn.Module, inputs: tuple[Tensor, ...], x: Tensor) -> Tensor:
        """The output of a self-attention, (rows, tokens, width)."""
        pairs = self.pairs
        if pairs is None or x.shape[1] * COARSEST**2 < self.positions:
            return x
        pushed = push(x[pairs.rows], x[pairs.references], pairs.alpha, pairs.threshold)
        return x.index_copy(0, pairs.rows, pushed)

    @contextmanager
    def of_pairs(self, pairs: Pairs, positions: int) -> Iterator[None]:
        """Inside the block, of a forward of latents with so many positions, these rows are pushed."""
        self.pairs, self.positions = pairs, positions
        try:
            yield
        finally:
            self.pairs = None
