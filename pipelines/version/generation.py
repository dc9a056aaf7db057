"""Generation: shards' planned images through method, engine and filters, as one stream. The file to read first.

    planned images -> method.requests -> engine -> filters -> keep | next attempt, into the same stream
                                           |  early verdict  -> next attempt

Requests are prepared in a thread of their own, and on a GPU images are judged in another, so that the denoiser does not wait
for them; unless it judges them itself.
What is dropped comes back before new images do, and a shard begins before the one before it is done: the engine's batch
runs empty once, at the end.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from pipelines.chance import derive
from pipelines.engine.background import Background, Foreground, result
from pipelines.engine.open import AnyEngine
from pipelines.filters import Panel
from pipelines.filters.early import EarlyVerdicts
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.records import Candidate, PlannedImage, Request, Sample
from pipelines.spec.helpers import judges_by_denoiser
from pipelines.tensors import choose_device
from pipelines.version.attempts import Attempts

AHEAD = 2  # batches of requests that are prepared in advance
ENDING = 4  # batches of planned images that are left when further attempts no longer come first
LAG = 2  # batches of candidates that are judged beside the denoising: always as many, so that it is deterministic


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a batch of candidates."""

    again: list[tuple[PlannedImage, int]]  # with the attempt that is next
    done: list[Attempts]  # shards
    settled: int  # images that are kept, or given up
    samples: list[Sample]  # with the verdicts of the filters


class ShardQueue:
    """The requests of shards: those of attempts that were dropped first, then those of planned images.

    What it gives depends on the shards and the verdicts alone, not on how fast anything is: where something is not ready, it
    is waited for.
    """

    def __init__(
        self,
        method: Method,
        panel: Panel,
        shards: Iterable[Attempts],
        total: int,
        ahead: int,
        reader: Background,
        judges: Background,
        early: EarlyVerdicts | None = None,
    ) -> None:
        """`total` is how many images the shards have; `ahead` are prepared at a time."""
        self.method, self.panel, self.ahead, self.reader, self.judges = method, panel, ahead, reader, judges
        self.new = total  # images without a request
        self.early = early
        self.lag = 0 if isinstance(judges, Foreground) else LAG
        self.unfinished: dict[int, Attempts] = {}  # shards, by the indices of their images
        self.chunks = self.planned(shards)
        self.first: deque[Future[list[Request]]] = deque()  # attempts at planned images, being prepared
        self.again: list[tuple[int, Future[list[Request]]]] = []  # further attempts, by their number
        self.ready: deque[Request] = deque()
        self.judging: deque[Future[Judged]] = deque()
        self.done: list[Attempts] = []
        self.settled = 0

    def planned(self, shards: Iterable[Attempts]) -> Iterator[list[PlannedImage]]:
        """Planned images, `ahead` at a time."""
        for shard in shards:
            self.unfinished |= dict.fromkeys(shard.planned, shard)
            images = list(shard.planned.values())
            if self.early is not None:  # the first of them are to be a fair sample of all: they are planned class by class
                images.sort(key=lambda image: derive(image.index, "order"))
            for start in range(0, len(images), self.ahead):
                yield images[start : start + self.ahead]

    def take(self, count: int, *, wait: bool) -> list[Request]:
        self.deliver(self.lag)
        while len(self.ready) < count:
            self.read_ahead()
            if reading := self.next():
                requests: list[Request] = result(reading)
                self.ready.extend(requests)
            elif wait and not self.ready and self.judging:
                self.deliver(len(self.judging) - 1)
            else:
                break
        return [self.ready.popleft() for _ in range(min(count, len(self.ready)))]

    def read_ahead(self) -> None:
        while len(self.first) < AHEAD and (chunk := next(self.chunks, None)):
            self.new -= len(chunk)
            self.first.append(self.reader.submit(self.method.requests, chunk, 0))

    def next(self) -> Future[list[Request]] | None:
        """Further attempts come first, so that shards are done; towards the end last, so that the batch runs empty with last
        attempts, of which no others come."""
        if self.again and not (self.first and self.new <= ENDING * self.ahead):
            return self.again.pop(0)[1]
        return self.first.popleft() if self.first else None

    def give(self, candidates: list[Candidate]) -> None:
        """Have candidates judged."""
        self.judging.append(self.judges.submit(self.judge, candidates))

    def judge(self, candidates: list[Candidate]) -> Judged:
        again, done, settled = list[tuple[PlannedImage, int]](), list[Attempts](), 0
        judged = self.panel.judge(candidates)
        samples: dict[Attempts, list[Sample]] = {}  # by their shard
        for sample in judged:
            samples.setdefault(self.unfinished[sample.candidate.request.index], []).append(sample)
        for shard, own in samples.items():
            before = shard.settled
            again += shard.add(own)
            settled += shard.settled - before
            if shard.done:
                done.append(shard)
        return Judged(again, done, settled, judged)

    def deliver(self, left: int) -> None:
        """Act on the verdicts of all but the last `left` batches."""
        while len(self.judging) > left:
            judged = result(self.judging.popleft())
            for attempt, images in groupby(sorted(judged.again, key=itemgetter(1)), key=itemgetter(1)):
                chunk = [image for image, _ in images]
                insort(self.again, (attempt, self.reader.submit(self.method.requests, chunk, attempt)), key=itemgetter(0))
            if self.early is not None:
                self.early.learn(judged.samples)
            self.settled += judged.settled
            for shard in judged.done:
                for number in shard.planned:
                    del self.unfinished[number]
            self.done += judged.done

    def take_settled(self) -> int:
        settled, self.settled = self.settled, 0
        return settled

    def take_done(self) -> list[Attempts]:
        done, self.done = self.done, []
        return done


def generate(
    resources: Resources,
    method: Method,
    engine: AnyEngine,
    panel: Panel,
    shards: Iterable[Attempts],
    total: int,
    early: EarlyVerdicts | None = None,
) -> Iterator[Attempts]:
    """Generate and filter the planned images of shards, `total` in all; yield each shard when it is done. With early
    verdicts, some are ended before their last step."""
    stage = resources.progress.stage("generate", total)
    in_turn = choose_device(resources.models.machine.device).type == "cpu" or judges_by_denoiser(resources.spec)
    with Background("read") as reader, Foreground() if in_turn else Background("judge") as judges:
        queue = ShardQueue(method, panel, shards, total, engine.capacity, reader, judges, early)
        for candidates in engine.batches(queue, early):
            queue.give(candidates)
            stage(queue.take_settled())
            yield from queue.take_done()
        stage(queue.take_settled())
        yield from queue.take_done()
    if queue.unfinished:
        raise RuntimeError(f"{len(queue.unfinished)} images are missing: the engine lost some")
