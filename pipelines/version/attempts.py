"""Attempts: generate, filter, and generate again what the filters dropped."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.engine.engine import Engine
from pipelines.engine.whole import PipelineEngine
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import Method
from pipelines.records import PlannedImage, Request, Sample


@dataclass(frozen=True)
class Outcome:
    """The samples of planned images: at most one kept for each, and all that were dropped."""

    kept: list[Sample]
    dropped: list[Sample]


def stream(method: Method, planned: list[PlannedImage], attempt: int, ahead: int) -> Iterator[Request]:
    """The requests of planned images, prepared `ahead` at a time, so that memory does not grow with the shard."""
    for start in range(0, len(planned), ahead):
        yield from method.requests(planned[start : start + ahead], attempt)


def run_attempts(
    resources: Resources, method: Method, engine: Engine | PipelineEngine, panel: Panel, planned: list[PlannedImage]
) -> Outcome:
    """Generate and filter every planned image; again those that were dropped, in at most `max_attempts` attempts."""
    stage = resources.progress.stage("generate", len(planned))
    kept: list[Sample] = []
    dropped: list[Sample] = []
    panel.begin()
    for attempt in range(resources.spec.max_attempts):
        candidates = list(engine.run(stream(method, planned, attempt, engine.capacity)))
        candidates.sort(key=lambda candidate: candidate.request.index)
        if [candidate.request.index for candidate in candidates] != sorted(image.index for image in planned):
            raise RuntimeError(f"{len(planned)} requests, {len(candidates)} images: the engine lost or repeated some")
        samples = panel.judge(candidates, [sample.candidate for sample in kept])
        kept += [sample for sample in samples if sample.verdict.kept]
        dropped += [sample for sample in samples if not sample.verdict.kept]
        stage(len(planned) - sum(not sample.verdict.kept for sample in samples))
        again = {sample.candidate.request.index for sample in samples if not sample.verdict.kept}
        planned = [image for image in planned if image.index in again]
        if not planned:
            break
    stage(len(planned))
    kept.sort(key=lambda sample: sample.candidate.request.index)
    return Outcome(kept, dropped)
