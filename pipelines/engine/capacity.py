"""How many rows are computed at a time: as many as fit into the memory of the card."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipelines.progress import step
from pipelines.tensors import out_of_memory


class Capacity:
    """`rows` at a time; halved when memory runs out, and then the work is done again. So the engine makes a step of the work
    with each forward of the denoiser, and whenever it encodes or decodes."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def map(self, work: Callable[[slice], Tensor], count: int) -> Tensor:
        """The work on parts of `count` rows, a row of the result for each. Raises ModelError where not even one fits."""
        results: list[Tensor] = []
        start = 0
        while start < count:
            step()
            part = slice(start, min(start + self.rows, count))
            try:
                results.append(work(part))
            except torch.OutOfMemoryError:
                if part.stop - start == 1:
                    raise out_of_memory("engine") from None
                self.rows = (part.stop - start) // 2
            else:
                start = part.stop
                continue
            torch.cuda.empty_cache()
        return results[0] if len(results) == 1 else torch.cat(results)
