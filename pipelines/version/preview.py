"""A few images of a spec in seconds, without learning anything, to try out regions, prompts and settings."""

import time
from dataclasses import dataclass
from functools import cached_property

from pipelines.engine.open import open_engine
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.progress import Stage
from pipelines.records import Candidate, Item
from pipelines.spec import VersionSpec
from pipelines.store.object_store import Store
from pipelines.version.plan import make_plan
from pipelines.vision.models import Models
from pipelines.vision.source_view import SourceView

SOURCE_IMAGES = 8  # a class, that images are made from where no judge ranks them


class NotLearned(Exception):
    """The method needs something trained that is not in the store."""


class NoLearning:
    """Progress that raises NotLearned when a training begins."""

    def stage(self, name: str, total: int) -> Stage:
        if name.startswith("learn"):
            raise NotLearned(name)
        return lambda done: None

    def say(self, text: str) -> None: ...


class Unstored(Resources):
    """Resources that leave nothing in the store: masks, and whatever else is computed from the source, stay in memory."""

    @cached_property
    def view(self) -> SourceView:
        return SourceView(self.source, self.models, self.spec.effective_framing, self.stage, self.spec.classifier)


class Unranked(Unstored):
    """Resources whose most typical images are simply the first: no judge is trained to rank them."""

    @cached_property
    def ranking(self) -> dict[str, list[tuple[Item, float]]]:
        return {label: [(item, 1.0) for item in self.source.of(label)[:SOURCE_IMAGES]] for label in self.source.classes}


@dataclass(frozen=True, slots=True)
class Preview:
    candidates: list[Candidate]
    learned: bool  # whether the concepts of an earlier version were used; else classes are prompted by name
    resources: Resources  # that they were made with
    planned: int  # images of the whole version
    seconds: float  # that these took, without loading and learning


def preview(spec: VersionSpec, store: Store, count: int, models: Models) -> Preview:
    """Generate `count` images, or all that are planned, spread evenly over the plan. Nothing is stored."""
    try:
        return generated(Unstored(spec, store, NoLearning(), models=models), count, learned=True)
    except NotLearned:
        method = spec.method.model_copy(update={"inversion": None, "lora": None})
        plain = spec.model_copy(update={"method": method})
        return generated(Unranked(plain, store, NoLearning(), models=models), count, learned=False)


def generated(resources: Resources, count: int, *, learned: bool) -> Preview:
    plan = make_plan(resources.spec, "", "", resources.source.counts)
    count = min(count, plan.planned)
    planned = [plan.image(number * plan.planned // count) for number in range(count)]
    method = open_method(resources)
    method.learn()
    capacity = min(count, resources.models.machine.capacity)
    interval, further = resources.spec.method.cache_interval, resources.models.further
    engine = open_engine(resources.painter, capacity, interval, further=further)
    began = time.monotonic()
    candidates = sorted(engine.run(method.requests(planned, 0)), key=lambda candidate: candidate.request.index)
    return Preview(candidates, learned, resources, plan.planned, time.monotonic() - began)
