"""The engine of checkpoints that are run whole: like requests together, each batch from its first step to its last.

There is no batch that is refilled at every step, as of `Engine`: diffusers' pipeline takes one strength, guidance and number
of steps for all of its images.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from pipelines.backbones.whole import WholePipeline, task_of
from pipelines.engine.admission import image_size
from pipelines.engine.capacity import Capacity
from pipelines.engine.engine import NOT_FINITE, composed
from pipelines.engine.probe import Probe
from pipelines.engine.requests import Listed, RequestQueue
from pipelines.records import Candidate, Request

Likeness = tuple[str, tuple[int, int], float, float, int, str]
AHEAD = 4  # times the capacity: requests read in advance, so that unlike ones fill batches, too


class PipelineEngine:
    """Runs requests on one pipeline, at most `capacity` in a call, fewer where memory ran out."""

    def __init__(self, pipeline: WholePipeline, capacity: int = 32) -> None:
        self.pipeline = pipeline
        self.fitting = Capacity(capacity)

    @property
    def capacity(self) -> int:
        """Requests in a call at most."""
        return self.fitting.rows

    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        """Yield one candidate a request, in the order in which they finish: deterministic for the same stream."""
        return chain.from_iterable(self.batches(Listed(requests)))

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        """Yield the candidates of a call; more requests may be queued for each before the next are asked for. Nothing is
        looked at before its last step."""
        waiting: dict[Likeness, list[Request]] = {}
        while True:
            count = sum(map(len, waiting.values()))
            for request in queue.take(AHEAD * self.capacity - count, wait=not count):
                waiting.setdefault(self.likeness(request), []).append(request)
            if not waiting:
                return
            largest = max(waiting, key=lambda likeness: len(waiting[likeness]))
            group = waiting.pop(largest)
            if len(group) > self.capacity:
                waiting[largest] = group[self.capacity :]
            yield self.draw(group[: self.capacity])

    def likeness(self, request: Request) -> Likeness:
        """What the requests of a call share."""
        task, size = task_of(request), image_size(request, self.pipeline.resolution)
        strength = 1.0 if task == "text_to_image" else request.strength
        return task, size, strength, request.guidance, request.steps, request.negative_prompt

    def draw(self, group: list[Request]) -> list[Candidate]:
        """The candidates of like requests; pixels that are no numbers are a failure of their image alone."""
        size = image_size(group[0], self.pipeline.resolution)

        pixels = self.fitting.map(lambda part: self.pipeline.draw(group[part], size), len(group), size)
        candidates = []
        for request, drawn in zip(group, pixels, strict=True):
            image = (drawn.nan_to_num().clamp(0, 1) * 255).round().byte().numpy()
            failure = None if drawn.isfinite().all() else NOT_FINITE
            candidates.append(Candidate(request, composed(request, image), failure))
        return candidates
