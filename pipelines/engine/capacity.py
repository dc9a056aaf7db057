"""How many rows are computed at a time: as many as fit into the memory of the card."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.progress import step
from pipelines.tensors import out_of_memory

Size = tuple[int, int]  # height and width of latents


class Capacity:
    """Places for `rows` of one size, the checkpoint's own: of a smaller or a larger row its latents say how many it takes.

    They are halved when memory runs out, and then the work is done again. So the engine makes a step of the work with each
    forward of the denoiser, and whenever it encodes or decodes.
    """

    def __init__(self, rows: float, own: Size | None = None) -> None:
        """`own` is the size whose rows take one place; without it, every row does."""
        self.places, self.own = rows, own

    @property
    def rows(self) -> int:
        return max(1, int(self.places))

    def share(self, size: Size) -> float:
        """Places that a row of this size takes."""
        return 1.0 if self.own is None else size[0] * size[1] / (self.own[0] * self.own[1])

    def fitting(self, places: float, size: Size) -> int:
        """How many rows of a size fit into so many places."""
        return int(places / self.share(size) + 1e-6)

    def map(self, work: Callable[[slice], Tensor], count: int, size: Size) -> Tensor:
        """The work on parts of `count` rows of a size, a row of the result for each. Raises ModelError where not even one
        fits."""
        results: list[Tensor] = []
        start = 0
        while start < count:
            step()
            part = slice(start, min(start + max(1, self.fitting(self.places, size)), count))
            try:
                results.append(work(part))
            except torch.OutOfMemoryError:
                if part.stop - start == 1:
                    raise out_of_memory("engine") from None
                self.places = (part.stop - start) * self.share(size) / 2
            else:
                start = part.stop
                continue
            torch.cuda.empty_cache()
        return results[0] if len(results) == 1 else torch.cat(results)
