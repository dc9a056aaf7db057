"""One run of the engine: what waits for a place in its batch, what is denoised in it, and what is finished."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.engine.admission import Admission
from pipelines.engine.batch import Batch
from pipelines.engine.capacity import Capacity
from pipelines.engine.requests import RequestQueue
from pipelines.records import Candidate, Request

Size = tuple[int, int]  # height and width of latents
TOGETHER = 4  # encoders and decoders take the capacity divided by this at a time, where there is as much to do


class Stream:
    """Rows by their size: those of one are denoised together. All sizes share the capacity."""

    def __init__(self, backbone: Backbone, fitting: Capacity, queue: RequestQueue) -> None:
        self.fitting, self.queue = fitting, queue
        self.admission = Admission(backbone, fitting)
        self.waiting: deque[Batch] = deque()
        self.batches: dict[Size, Batch] = {}
        self.decodable: dict[Size, list[tuple[Request, Tensor]]] = {}  # finished requests, and their latents
        self.idle = False  # whether the queue had too few requests to fill the batch
        self.ended = False

    @property
    def rows(self) -> int:
        """How many are in the batch."""
        return sum(map(len, self.batches.values()))

    @property
    def together(self) -> int:
        """Requests that are encoded, and latents that are decoded, at a time."""
        return max(1, self.fitting.rows // TOGETHER)

    def fill(self) -> list[Candidate]:
        """Give the free places to the next requests; return those that have failed already."""
        failures: list[Candidate] = []
        waiting = sum(map(len, self.waiting))
        missing = self.fitting.rows - self.rows - waiting
        if missing > 0:
            nothing = not (waiting or self.batches or self.decodable)
            requests = self.queue.take(max(missing, self.together), wait=nothing)
            self.ended = nothing and not requests
            admitted, failures = self.admission.admit(requests)
            self.waiting.extend(admitted)
        while self.waiting and (free := self.fitting.rows - self.rows) > 0:
            batch = self.waiting.popleft()
            if len(batch) > free:
                self.waiting.appendleft(batch.rows(range(free, len(batch))))
                batch = batch.rows(range(free))
            size = batch.x.shape[-2], batch.x.shape[-1]
            self.batches[size] = Batch.cat([self.batches[size], batch]) if size in self.batches else batch
        self.idle = self.rows < self.fitting.rows
        return failures

    def finished(self) -> Iterator[tuple[list[Request], Tensor]]:
        """Take finished rows out of the batch; yield them with their latents, once there are enough of a size; at once where
        there were free places: what becomes of them may fill these."""
        for size, batch in list(self.batches.items()):
            done = [number for number, steps in enumerate(batch.steps) if not steps]
            if done:
                self.decodable.setdefault(size, []).extend((batch.requests[number], batch.x[number]) for number in done)
                left = [number for number, steps in enumerate(batch.steps) if steps]
                self.batches.pop(size)
                if left:
                    self.batches[size] = batch.rows(left)
        for size, pairs in list(self.decodable.items()):
            if self.idle or len(pairs) >= self.together:
                del self.decodable[size]
                yield [request for request, _ in pairs], torch.stack([latents for _, latents in pairs])
