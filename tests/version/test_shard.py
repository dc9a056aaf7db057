"""One shard: what is counted, what is made again, what is written when, and that a second run does nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import Candidate, Request
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.attempts import Outcome, run_attempts, stream
from pipelines.version.plan import Plan, make_plan
from pipelines.version.shard import report, run_shard
from tests.builders import Painter, bench

FILTERS = [{"type": "quality"}]  # drops the painter's blanks


def never(request: Request) -> bool:
    return False


def always(request: Request) -> bool:
    return True


def sometimes(request: Request) -> bool:
    """The places 1, 4, 7, ... never succeed; every other even place succeeds at its second attempt."""
    return request.index % 3 == 1 or (request.index % 2 == 0 and request.attempt == 0)


@pytest.fixture
def workbench(tiny_checkpoint: Path, tmp_path: Path) -> Resources:
    return bench(
        tmp_path / "store",
        models={"text_to_image": str(tiny_checkpoint), "device": "cpu"},
        amount={"per_class": 9},
        shard_size=12,
        filters=FILTERS,
    )


def planned(workbench: Resources) -> Plan:
    return make_plan(workbench.spec, "spec", "source", workbench.source.counts)


def made(workbench: Resources, painter: Painter) -> Outcome:
    slots = Plan("", "", planned(workbench).quotas, 100).shard(0)
    return run_attempts(workbench, open_method(workbench), painter, Panel(workbench), slots)  # type: ignore[arg-type]


def run(workbench: Resources, number: int, painter: Painter) -> dict[str, Any]:
    method, panel = open_method(workbench), Panel(workbench)
    return run_shard(workbench, planned(workbench), number, method, painter, panel)  # type: ignore[arg-type]


def test_everything_generated_is_kept_or_dropped(workbench: Resources) -> None:
    painter = Painter(sometimes)
    outcome = made(workbench, painter)
    counts = report(0, 18, outcome)
    assert counts["generated"] == counts["kept"] + counts["dropped"] == len(painter.seen)
    assert counts["kept"] == 12
    assert counts["reasons"] == {"quality: blank": counts["dropped"]}
    assert sum(counts["labels"].values()) == counts["kept"]
    assert counts["labels"] == Counter(sample.candidate.request.label for sample in outcome.kept)


def test_only_what_was_dropped_is_made_again(workbench: Resources) -> None:
    painter = Painter(sometimes)
    made(workbench, painter)
    attempts = Counter(index for index, _ in painter.seen)
    assert attempts == {i: 3 if i % 3 == 1 else 2 if i % 2 == 0 else 1 for i in range(18)}
    assert painter.seen == sorted(painter.seen, key=lambda seen: (seen[1], seen[0]))


def test_a_place_is_filled_once_at_most_and_stays_empty_after_the_last_attempt(workbench: Resources) -> None:
    outcome = made(workbench, Painter(sometimes))
    kept = [sample.candidate.request.index for sample in outcome.kept]
    assert kept == [i for i in range(18) if i % 3 != 1]
    dropped = Counter(sample.candidate.request.index for sample in outcome.dropped)
    assert {i: n for i, n in dropped.items() if i not in kept} == dict.fromkeys(range(1, 18, 3), 3)
    assert all(sample.verdict.reason for sample in outcome.dropped)
    assert all(sample.verdict.reason is None for sample in outcome.kept)


def test_another_attempt_has_another_seed_and_the_same_task(workbench: Resources) -> None:
    dropped = made(workbench, Painter(always)).dropped
    asked = [sample.candidate.request for sample in dropped]
    assert len(asked) == 3 * 18
    assert len({request.seed for request in asked}) == len(asked)
    assert len({(r.index, r.label, r.prompt, r.guidance, r.steps) for r in asked}) == 18


def test_when_nothing_is_dropped_nothing_is_made_twice(workbench: Resources) -> None:
    painter = Painter(never)
    assert len(made(workbench, painter).kept) == len(painter.seen) == 18


def test_requests_are_prepared_a_few_at_a_time(workbench: Resources) -> None:
    method, slots = open_method(workbench), planned(workbench).shard(0)
    prepared: list[int] = []

    class Counting:
        def requests(self, some: list[Any], attempt: int) -> list[Request]:
            prepared.append(len(some))
            return method.requests(some, attempt)

    requests = stream(Counting(), slots, 0, 4)  # type: ignore[arg-type]
    assert next(requests).index == slots[0].index
    assert prepared == [4]
    assert [request.index for request in requests] == [slot.index for slot in slots[1:]]
    assert prepared == [4, 4, 1]


def test_the_parquet_holds_what_the_report_counts(workbench: Resources) -> None:
    plan = planned(workbench)
    assert plan.shards == 2
    counts = [run(workbench, n, Painter(sometimes)) for n in range(2)]
    for n, count in enumerate(counts):
        kept = rows.read(workbench.store.get(keys.data(workbench.root, n, 2)))
        dropped = rows.read(workbench.store.get(keys.rejected(workbench.root, n, 2)))
        assert (count["shard"], count["planned"]) == (n, 9)
        assert (len(kept), len(dropped)) == (count["kept"], count["dropped"])
        assert {row["index"] for row in kept + dropped} == {slot.index for slot in plan.shard(n)}
        assert workbench.store.json(keys.report(workbench.root, n)) == count
    assert sum(count["kept"] for count in counts) == 12


class Recorded(Store):
    """A store that remembers the order of its writes."""

    written: list[str] = []  # noqa: RUF012  (reset by each test that uses it)

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self.written.append(key)

    def create(self, key: str, data: bytes) -> None:
        super().create(key, data)
        self.written.append(key)


def test_the_report_is_written_last(workbench: Resources) -> None:
    workbench.store = Recorded(workbench.store.objects)
    Recorded.written = []
    run(workbench, 1, Painter(sometimes))
    root = workbench.root
    assert Recorded.written == [keys.data(root, 1, 2), keys.rejected(root, 1, 2), keys.report(root, 1)]


def test_a_second_run_asks_for_nothing_and_writes_nothing(workbench: Resources) -> None:
    first = run(workbench, 0, Painter(sometimes))
    workbench.store = Recorded(workbench.store.objects)
    Recorded.written = []
    painter = Painter(always)
    assert run(workbench, 0, painter) == first
    assert painter.seen == []
    assert Recorded.written == []


class Dying(Painter):
    """Dies after its first few candidates."""

    def run(self, requests: Iterable[Request]) -> Iterator[Candidate]:
        for number, candidate in enumerate(super().run(requests)):
            if number == 5:
                raise KeyboardInterrupt
            yield candidate


def test_killed_half_way_it_is_not_done_and_then_gives_the_same_bytes(
    workbench: Resources, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(workbench, 0, Dying(sometimes))
    assert not workbench.store.exists(keys.report(workbench.root, 0))
    other = Resources(workbench.spec, Store.open(tmp_path / "other"), workbench.progress)
    for each in (workbench, other):
        run(each, 0, Painter(sometimes))
    assert workbench.store.keys("") == other.store.keys("")
    for key in workbench.store.keys(""):
        assert workbench.store.get(key) == other.store.get(key)


def test_shards_can_be_made_in_any_order(workbench: Resources, tmp_path: Path) -> None:
    other = Resources(workbench.spec, Store.open(tmp_path / "other"), workbench.progress)
    for n in (0, 1):
        run(workbench, n, Painter(sometimes))
    for n in (1, 0):
        run(other, n, Painter(sometimes))
    assert [workbench.store.get(key) for key in workbench.store.keys("")] == [
        other.store.get(k) for k in other.store.keys("")
    ]
