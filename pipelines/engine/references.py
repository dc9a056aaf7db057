"""Reference images: what siblings are pushed away from in their first steps (negative token merging, arXiv 2412.01339).

A row's reference is denoised beside it, from noise of its own, as if it were alone; it is not decoded. So an image depends
on its own request, whatever is in the batch, and whenever it comes in. In a forward a reference is computed once for all
rows that are at the same step of it, and not at all where it is in the batch itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pipelines.backbones.negative_merging import Pairs
from pipelines.backbones.schedule import Levels
from pipelines.engine.batch import Batch
from pipelines.engine.solver import advance, predicted_x0
from pipelines.records import NegativeMerging, Request


@dataclass(frozen=True, slots=True)
class References:
    """Of a forward's predictions, by number: one of each row, then the second of guided ones, then those of references."""

    rows: list[int] = field(default_factory=list)  # predictions that are pushed
    nearest: list[int] = field(default_factory=list)  # of each, the prediction of the reference that it is pushed away from
    again: list[int] = field(default_factory=list)  # predictions of rows that are made once more, of their references
    settings: list[NegativeMerging] = field(default_factory=list)  # of each that is pushed

    def pairs(self, device: torch.device) -> Pairs | None:
        """As the denoiser takes them; None: nothing is pushed."""
        if not self.rows:
            return None
        numbers = torch.tensor([self.rows, self.nearest], device=device)
        strengths = torch.tensor([(each.alpha, each.threshold) for each in self.settings], device=device)
        return Pairs(numbers[0], numbers[1], strengths[:, 0], strengths[:, 1])

    def predictions(self, predictions: Tensor, count: int) -> Tensor:
        """The first `count` predictions: of the references in place of those that are pushed, zeros of the others."""
        result = torch.zeros_like(predictions[:count])
        result[self.rows] = predictions[self.nearest]
        return result


def active(batch: Batch, row: int) -> bool:
    """Whether a row is pushed in its next step."""
    merging = batch.requests[row].negative_merging
    return merging is not None and batch.steps[row][0].start < merging.until


def state(request: Request, seed: int, left: int) -> tuple[Any, ...]:
    """What latents depend on that start from noise of a seed, have so many steps left, and share all else with a request."""
    guidance = request.guidance, request.guidance_interval, request.guidance_rescale, request.negative_prompt
    return seed, left, request.steps, request.solver, request.prompt, request.lora, *guidance


def references_of(batch: Batch, twice: Sequence[int]) -> References:
    """Of a forward of all rows, and of some twice."""
    result = References()
    if batch.reference is None:
        return result
    second = {row: len(batch) + number for number, row in enumerate(twice)}
    own = [[row, second[row]] if row in second else [row] for row in range(len(batch))]
    known = {
        state(request, request.seed, len(batch.steps[row])): own[row]
        for row, request in enumerate(batch.requests)
        if request.negative_merging is None and request.image is None
    }
    for row, request in enumerate(batch.requests):
        if (merging := request.negative_merging) is None or not active(batch, row):
            continue
        key = state(request, merging.reference_seed, len(batch.steps[row]))
        if key not in known:
            first = len(batch) + len(twice) + len(result.again)
            known[key] = [*range(first, first + len(own[row]))]
            result.again.extend(own[row])
        result.rows.extend(own[row])
        result.nearest.extend(known[key])
        result.settings.extend([merging] * len(own[row]))
    return result


def advance_references(batch: Batch, prediction: Tensor, level: Levels, weights: Tensor, kind: str) -> None:
    """A solver step of the references of rows that are pushed in this one. Those of other rows are of no use any more."""
    rows = [row for row in range(len(batch)) if active(batch, row)]
    if batch.reference is None or not rows:
        batch.reference = None
        return
    x, x0_previous = batch.reference.unbind(1)
    x0 = predicted_x0(x, prediction, level, kind)
    after = torch.stack([advance(x, x0, x0_previous, weights), x0], dim=1)
    batch.reference[rows] = after[rows]
