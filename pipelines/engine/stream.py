"""One run of the engine: what waits for a place in its batch, what is denoised in it, and what is finished."""

from collections import deque
from collections.abc import Collection, Iterator
from math import ceil

import torch
from torch import Tensor

from pipelines.backbones.backbone import Backbone
from pipelines.engine.admission import Admission
from pipelines.engine.batch import Batch
from pipelines.engine.capacity import Capacity, Size
from pipelines.engine.probe import Probe, steps_left
from pipelines.engine.requests import RequestQueue
from pipelines.records import Candidate, Request

TOGETHER = 4  # encoders and decoders take the capacity divided by this at a time, where there is as much to do


class Stream:
    """Rows by their size: those of one are denoised together. All sizes share the capacity."""

    def __init__(self, backbone: Backbone, fitting: Capacity, queue: RequestQueue, probe: Probe | None = None) -> None:
        self.fitting, self.queue, self.probe = fitting, queue, probe
        self.admission = Admission(backbone, fitting)
        self.waiting: deque[Batch] = deque()
        self.batches: dict[Size, Batch] = {}
        self.looks: dict[int, int] = {}  # by the id() of a request in the batch: how many steps are left at its look
        self.decodable: dict[Size, list[tuple[Request, Tensor]]] = {}  # finished requests, and their latents
        self.idle = False  # whether the queue had too few requests to fill the batch
        self.ended = False

    @property
    def free(self) -> float:
        """Places that no row of the batch takes."""
        return self.fitting.places - sum(len(batch) * self.fitting.share(batch.size) for batch in self.batches.values())

    @property
    def missing(self) -> int:
        """How many more requests, of the checkpoint's own size, would find a free place."""
        waiting = sum(len(batch) * self.fitting.share(batch.size) for batch in self.waiting)
        return ceil(self.free - waiting - 1e-6)

    @property
    def together(self) -> int:
        """Requests that are encoded, and latents that are decoded, at a time."""
        return max(1, self.fitting.rows // TOGETHER)

    def fill(self) -> list[Candidate]:
        """Give the free places to the next requests; return those that have failed already."""
        failures: list[Candidate] = []
        while (missing := self.missing) > 0 and not failures:  # what becomes of those may be more requests
            nothing = not (self.waiting or self.batches or self.decodable)
            requests = self.queue.take(max(missing, self.together), wait=nothing)
            self.ended = nothing and not requests
            if not requests:
                break
            admitted, failures = self.admission.admit(requests)
            self.waiting.extend(admitted)
        while self.waiting and (fitting := self.fits(self.waiting[0].size)):
            batch = self.waiting.popleft()
            if len(batch) > fitting:
                self.waiting.appendleft(batch.rows(range(fitting, len(batch))))
                batch = batch.rows(range(fitting))
            if self.probe is not None and (at := self.probe.at) is not None:
                left = [steps_left(steps, at) for steps in batch.steps]
                self.looks |= {id(request): n for request, n in zip(batch.requests, left, strict=True) if n}
            size = batch.size
            self.batches[size] = Batch.cat([self.batches[size], batch]) if size in self.batches else batch
        self.idle = self.missing > 0
        return failures

    def fits(self, size: Size) -> int:
        """How many rows of a size find free places; one at least where the batch is empty."""
        return max(self.fitting.fitting(self.free, size), 0 if self.batches else 1)

    def reached(self) -> Iterator[tuple[list[Request], Tensor]]:
        """Yield rows that are to be looked at now, by their size, with x0 as it was predicted in their last step."""
        for batch in list(self.batches.values()):
            rows = [n for n, request in enumerate(batch.requests) if len(batch.steps[n]) == self.looks.get(id(request))]
            for row in rows:
                del self.looks[id(batch.requests[row])]
            if rows:
                yield [batch.requests[row] for row in rows], torch.stack([batch.x0_previous[row] for row in rows])

    def end(self, requests: Collection[Request]) -> None:
        """Take rows out of the batch before their last step."""
        ended = set(map(id, requests))
        for size in list(self.batches):
            self.keep(size, [n for n, request in enumerate(self.batches[size].requests) if id(request) not in ended])

    def keep(self, size: Size, rows: list[int]) -> None:
        """Take all rows of a size but these out of the batch."""
        batch = self.batches.pop(size)
        if rows:
            self.batches[size] = batch.rows(rows)

    def finished(self) -> Iterator[tuple[list[Request], Tensor]]:
        """Take finished rows out of the batch; yield them with their latents, once there are enough of a size; at once where
        there were free places: what becomes of them may fill these."""
        for size, batch in list(self.batches.items()):
            done = [number for number, steps in enumerate(batch.steps) if not steps]
            if done:
                self.decodable.setdefault(size, []).extend((batch.requests[number], batch.x[number]) for number in done)
                self.keep(size, [number for number, steps in enumerate(batch.steps) if steps])
        for size, pairs in list(self.decodable.items()):
            if self.idle or len(pairs) >= self.together:
                del self.decodable[size]
                yield [request for request, _ in pairs], torch.stack([latents for _, latents in pairs])
