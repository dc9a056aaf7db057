"""A few images of a spec in seconds, without learning anything: how would regions, prompts and settings look?"""

from dataclasses import dataclass
from functools import cached_property

from pipelines.diffusion.engine import Engine
from pipelines.methods import open_method
from pipelines.plan import make_plan
from pipelines.progress import Stage
from pipelines.records import Candidate, Item
from pipelines.spec import VersionSpec
from pipelines.store import Store
from pipelines.workbench import Workbench

MOST = 16  # images
LOOKED_AT = 8  # source images a class


class NotLearned(Exception):
    """The method would have to learn something first."""


class NoLearning:
    """The progress of something that may generate, but not learn."""

    def stage(self, name: str, total: int) -> Stage:
        if name.startswith("learn"):
            raise NotLearned(name)
        return lambda done: None

    def say(self, text: str) -> None: ...


class Glance(Workbench):
    """A workbench whose most typical images are simply the first: no judge ranks them."""

    @cached_property
    def ranking(self) -> dict[str, list[tuple[Item, float]]]:
        return {label: [(item, 1.0) for item in self.source.of(label)[:LOOKED_AT]] for label in self.source.classes}


@dataclass(frozen=True, slots=True)
class Preview:
    candidates: list[Candidate]
    learned: bool  # whether the concepts of an earlier version were used; else classes are said by their names


def preview(spec: VersionSpec, store: Store, count: int) -> Preview:
    """Make `count` images, at most MOST, spread evenly over the plan. Nothing is stored."""
    try:
        return Preview(made(Workbench(spec, store, NoLearning()), count), learned=True)
    except NotLearned:
        method = spec.method.model_copy(update={"inversion": None, "lora": None})
        plain = spec.model_copy(update={"method": method})
        return Preview(made(Glance(plain, store, NoLearning()), count), learned=False)


def made(bench: Workbench, count: int) -> list[Candidate]:
    plan = make_plan(bench.spec, "", "", bench.source.counts)
    count = min(count, MOST, plan.planned)
    slots = [plan.slot(number * plan.planned // count) for number in range(count)]
    method = open_method(bench)
    method.learn()
    engine = Engine(bench.model, count)
    return sorted(engine.run(method.requests(slots, 0)), key=lambda candidate: candidate.request.index)
