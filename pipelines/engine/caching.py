"""Deep features of a row, from some of its steps for those between: see `backbones.feature_cache`.

They are extrapolated from the last two steps that computed them (TaylorSeer, Liu et al. 2025, arXiv 2503.06923, to first
order).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipelines.backbones.cached_steps import computes


@dataclass
class RowCache:
    step: int = 0  # of the row, the next
    kept: list[tuple[int, tuple[Tensor, ...]]] = field(default_factory=list)
    """The last two steps that computed deep features, and these, (c, h, w) or (tokens, width): of the row, and where it was
    predicted twice of the unconditional prediction."""

    def due(self, interval: int) -> bool:
        """Whether the next step computes deep features."""
        return computes(self.step, interval)

    def keep(self, *features: Tensor) -> None:
        self.kept = [*self.kept[-1:], (self.step, features)]


def keep(caches: Sequence[RowCache], twice: Sequence[int], features: Tensor) -> None:
    """Deep features of rows, (n, ...), then of those that were predicted twice again."""
    conditional, unconditional = features[: len(caches)], dict(zip(twice, features[len(caches) :], strict=True))
    for row, cache in enumerate(caches):
        cache.keep(conditional[row], *([unconditional[row]] if row in unconditional else []))


def forecast(caches: Sequence[RowCache], twice: Sequence[int]) -> Tensor:
    """What `keep` was given, at the rows' next steps: a line through the last two, or the last where there is no other."""
    before, now, weights = list[Tensor](), list[Tensor](), list[float]()
    for row, prediction in [*((row, 0) for row in range(len(caches))), *((row, 1) for row in twice)]:
        cache = caches[row]
        (first, older), (last, newer) = cache.kept
        now.append(newer[prediction])
        before.append(older[prediction] if prediction < len(older) else newer[prediction])
        weights.append((cache.step - first) / (last - first))
    end = torch.stack(now)
    return torch.lerp(torch.stack(before), end, torch.tensor(weights).to(end).view(-1, *(1 for _ in end.shape[1:])))
