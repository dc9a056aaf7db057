"""How many rows are computed at a time: as many as fit into the memory of the card."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from pipelines.progress import step
from pipelines.tensors import out_of_memory

R = TypeVar("R")


class Capacity:
    """`rows` at a time; halved when memory runs out, and then the work is done again. So the engine makes a step of the work
    with each forward of the denoiser, and whenever it encodes or decodes."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def map(self, work: Callable[[list[R]], Tensor], rows: Sequence[R]) -> Tensor:
        """The work on parts of the rows, a row of the result for each. Raises ModelError where not even one fits."""
        results: list[Tensor] = []
        start = 0
        while start < len(rows):
            step()
            part = list(rows[start : start + self.rows])
            try:
                results.append(work(part))
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise out_of_memory("engine") from None
                self.rows = len(part) // 2
            else:
                start += len(part)
                continue
            torch.cuda.empty_cache()
        return torch.cat(results)
