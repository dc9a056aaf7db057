"""The engine of several checkpoints that share a version's images (DiverGen, CVPR 2024, arXiv 2405.10185).

All of them are in memory, and one draws at a time: the memory is that of all weights, and of the batch of one. A checkpoint
draws its own requests of the stream until enough of another's wait; then its batch runs empty, and that one's begins.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pipelines.engine.engine import Engine
from pipelines.engine.probe import Probe
from pipelines.engine.requests import Listed, RequestQueue
from pipelines.engine.whole import PipelineEngine
from pipelines.records import Candidate, Request

AHEAD = 4  # times the capacity: requests that wait for the checkpoints whose turn it is not


class RoutingEngine:
    """Runs each request on the engine of its checkpoint: `Request.checkpoint` is its number."""

    def __init__(self, engines: Sequence[Engine | PipelineEngine]) -> None:
        self.engines = engines

    @property
    def capacity(self) -> int:
        """Requests in a batch at most."""
        return max(engine.capacity for engine in self.engines)

    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        return chain.from_iterable(self.batches(Listed(requests)))

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        """Yield the candidates that are decoded together; more requests may be queued for each before the next are asked
        for."""
        sorted_queue = SortedQueue(queue, len(self.engines), AHEAD * self.capacity)
        while (number := sorted_queue.fullest()) is not None:
            yield from self.engines[number].batches(QueueOfOne(sorted_queue, number), probe)


class SortedQueue:
    """A queue's requests, taken ahead and sorted by their checkpoints."""

    def __init__(self, queue: RequestQueue, checkpoints: int, most: int) -> None:
        """`most` of them wait at a time for other checkpoints than the one that draws."""
        self.queue, self.most = queue, most
        self.waiting: list[deque[Request]] = [deque() for _ in range(checkpoints)]

    def fullest(self) -> int | None:
        """The checkpoint for which most requests wait; None when no more will come."""
        if not any(self.waiting):
            self.read(self.most, wait=True)
        number = max(range(len(self.waiting)), key=lambda number: len(self.waiting[number]))
        return number if self.waiting[number] else None

    def read(self, count: int, *, wait: bool) -> int:
        """Take at most `count` requests from the queue, and sort them; return how many there were."""
        requests = self.queue.take(count, wait=wait)
        for request in requests:
            self.waiting[request.checkpoint].append(request)
        return len(requests)

    def take(self, number: int, count: int) -> list[Request]:
        """The next requests of a checkpoint, at most `count`: none where too many wait for others."""
        own = self.waiting[number]
        while (missing := count - len(own)) > 0:
            room = self.most - (sum(map(len, self.waiting)) - len(own))
            if room <= 0 or not self.read(min(missing, room), wait=False):
                break
        return [own.popleft() for _ in range(min(count, len(own)))]


class QueueOfOne:
    """The part of a sorted queue that one checkpoint draws, as its engine asks for it."""

    def __init__(self, requests: SortedQueue, number: int) -> None:
        self.requests, self.number = requests, number

    def take(self, count: int, *, wait: bool) -> list[Request]:
        """At most `count`; none where another checkpoint's turn has come, though more may be this one's later."""
        return self.requests.take(self.number, count)
