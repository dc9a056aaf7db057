"""Several checkpoints behind one engine: each draws its own requests, as it draws them alone. Four seconds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_checkpoint
from pipelines.backbones.whole import WholePipeline
from pipelines.engine.open import AnyEngine, open_engine
from pipelines.engine.routing import AHEAD, RoutingEngine
from pipelines.records import Candidate, Request
from tests.builders import CPU
from tests.checkpoints import build_pixart, build_xl
from tests.engine.test_engine import near, request

CAPACITY = 4
SIZE = (32, 32)


@pytest.fixture(scope="module")
def checkpoints(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Backbone | WholePipeline]:
    """Of two families, and one that is run whole."""
    folder = tmp_path_factory.mktemp("others")
    paths = [tiny_checkpoint, build_xl(folder / "xl"), build_pixart(folder / "pixart")]
    return [open_checkpoint(str(path), CPU) for path in paths]


def engine(checkpoints: list[Backbone | WholePipeline], capacity: int = CAPACITY) -> AnyEngine:
    return open_engine(checkpoints[0], capacity, further=checkpoints[1:])


def requests(*numbers: int) -> list[Request]:
    return [request(index, checkpoint=number, steps=2, size=SIZE) for index, number in enumerate(numbers)]


class Rounds:
    """Requests of which each comes again, for the next checkpoint, when its image is there. `most`: under way at a time."""

    def __init__(self, first: list[Request], rounds: int) -> None:
        self.ready, self.rounds, self.under_way, self.most = list(first), rounds, 0, 0

    def take(self, count: int, *, wait: bool) -> list[Request]:
        taken, self.ready = self.ready[:count], self.ready[count:]
        self.under_way += len(taken)
        self.most = max(self.most, self.under_way)
        return taken

    def give(self, candidates: list[Candidate]) -> None:
        self.under_way -= len(candidates)
        for candidate in candidates:
            one = candidate.request
            if one.attempt + 1 < self.rounds:
                self.ready.append(replace(one, attempt=one.attempt + 1, checkpoint=(one.checkpoint + 1) % 3))


def test_each_checkpoint_draws_its_own_requests_as_it_draws_them_alone(
    checkpoints: list[Backbone | WholePipeline],
) -> None:
    mixed = requests(0, 1, 2, 1, 0, 0, 2)
    routed = {each.request.index: each for each in engine(checkpoints, capacity=1).run(mixed)}
    assert sorted(routed) == list(range(7))
    for number, checkpoint in enumerate(checkpoints):
        own = [one for one in mixed if one.checkpoint == number]
        alone = list(open_engine(checkpoint, 1).run(own))
        for candidate in alone:
            assert np.array_equal(candidate.image, routed[candidate.request.index].image)
    assert len({routed[index].image.tobytes() for index in range(7)}) == 7


def test_what_is_in_a_batch_together_changes_no_image(checkpoints: list[Backbone | WholePipeline]) -> None:
    mixed = requests(*[0, 1, 2] * 4)
    one, many = ({c.request.index: c for c in engine(checkpoints, capacity).run(mixed)} for capacity in (1, CAPACITY))
    assert all(near(one[index].image, many[index].image) for index in range(12))


def test_requests_that_come_of_images_find_their_checkpoint_though_its_turn_was_over(
    checkpoints: list[Backbone | WholePipeline],
) -> None:
    queue, seen = Rounds(requests(0, 0, 0, 1, 1), rounds=4), list[tuple[int, int, int]]()
    for candidates in engine(checkpoints).batches(queue):
        seen += [(each.request.index, each.request.attempt, each.request.checkpoint) for each in candidates]
        queue.give(candidates)
    firsts = [0, 0, 0, 1, 1]
    assert sorted(seen) == [(index, n, (first + n) % 3) for index, first in enumerate(firsts) for n in range(4)]


def test_the_requests_that_wait_are_bounded_whatever_the_shares(checkpoints: list[Backbone | WholePipeline]) -> None:
    """The second checkpoint draws one in fifty: while its batch would be filled, others do not pile up."""
    two = checkpoints[:2]
    routing = engine(two)
    assert isinstance(routing, RoutingEngine)
    queue = Rounds([replace(one, steps=1) for one in requests(*[0] * 49, 1, *[0] * 49, 1, *[0] * 50)], rounds=1)
    count = 0
    for candidates in routing.batches(queue):
        count += len(candidates)
        queue.give(candidates)
    assert (count, queue.under_way) == (150, 0)
    assert queue.most <= (AHEAD + 2) * CAPACITY
