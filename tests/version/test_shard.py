"""One shard: what is counted, what is made again, what is written when, and that a second run does nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.engine.background import Background, Foreground, result
from pipelines.engine.probe import Probe
from pipelines.engine.requests import RequestQueue
from pipelines.filters import Panel
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.records import Candidate, Quota, Request, Sample, Verdict
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.attempts import Attempts
from pipelines.version.generation import ShardQueue, generate
from pipelines.version.plan import Plan, make_plan
from pipelines.version.reports import report
from pipelines.version.shard import run_shards
from tests.builders import Painter, open_resources

FILTERS = [{"type": "quality"}]  # drops the painter's blanks


def never(request: Request) -> bool:
    return False


def always(request: Request) -> bool:
    return True


def sometimes(request: Request) -> bool:
    """The places 1, 4, 7, ... never succeed; every other even place succeeds at its second attempt."""
    return request.index % 3 == 1 or (request.index % 2 == 0 and request.attempt == 0)


@pytest.fixture
def resources(tiny_checkpoint: Path, tmp_path: Path) -> Resources:
    return open_resources(
        tmp_path / "store",
        models={"text_to_image": str(tiny_checkpoint)},
        amount={"per_class": 9},
        shard_size=12,
        filters=FILTERS,
    )


def planned(resources: Resources) -> Plan:
    return make_plan(resources.spec, "spec", "source", resources.source.counts)


def made(resources: Resources, painter: Painter, panel: Panel | None = None, plan: Plan | None = None) -> list[Attempts]:
    """The shards of a plan, by default one with all planned images, as they are done."""
    panel, plan = panel or Panel(resources), plan or Plan("", "", planned(resources).quotas, 100)
    shards = [Attempts(n, plan.shard(n), 3, panel.comparisons()) for n in range(plan.generated_shards)]
    return list(generate(resources, open_method(resources), painter, panel, shards, plan.planned))  # type: ignore[arg-type]


def run(resources: Resources, number: int, painter: Painter) -> dict[str, Any]:
    method, panel = open_method(resources), Panel(resources)
    return run_shards(resources, planned(resources), [number], method, painter, panel)[0]  # type: ignore[arg-type]


def test_everything_generated_is_kept_or_dropped(resources: Resources) -> None:
    painter = Painter(sometimes)
    (outcome,) = made(resources, painter)
    counts = report(outcome)
    assert counts["generated"] == counts["kept"] + counts["dropped"] == len(painter.seen)
    assert counts["kept"] == 12
    assert counts["reasons"] == {"quality: blank": counts["dropped"]}
    assert sum(counts["labels"].values()) == counts["kept"]
    assert counts["labels"] == Counter(sample.candidate.request.label for sample in outcome.kept)


class Counted:
    """A filter that keeps all; and in its comparison what is the second or later of its shard."""

    def judge(self, candidates: Sequence[Candidate]) -> list[Verdict]:
        return [Verdict() for _ in candidates]

    def comparison(self) -> "Comparing":
        return Comparing()


class Comparing:
    def __init__(self) -> None:
        self.judged = 0

    def judge(self, attempt: Sequence[Sample]) -> list[Verdict]:
        first, self.judged = self.judged, self.judged + len(attempt)
        return [Verdict(reason=None if first + row else "first of its shard") for row in range(len(attempt))]


def test_each_shard_has_comparisons_of_its_own(resources: Resources) -> None:
    """What one shard's first attempt set holds for its later ones, and for them alone, though several are under way."""
    panel, plan = Panel(resources), planned(resources)
    panel.filters = {"counted": Counted()}
    for shard in made(resources, Painter(), panel, plan):
        (dropped,) = shard.dropped
        assert dropped.verdict.reason == "counted: first of its shard"
        assert dropped.candidate.request.index == min(shard.planned)
        assert len(shard.kept) == len(shard.planned)
    assert plan.generated_shards > 1


def test_only_what_was_dropped_is_made_again(resources: Resources) -> None:
    painter = Painter(sometimes)
    made(resources, painter)
    attempts = Counter(index for index, _ in painter.seen)
    assert attempts == {i: 3 if i % 3 == 1 else 2 if i % 2 == 0 else 1 for i in range(18)}


def test_what_is_dropped_comes_back_first_and_towards_the_end_last(resources: Resources) -> None:
    """In between, so that shards are done; at last, so that the batch runs empty with attempts that are followed by none."""
    painter = Painter(sometimes)
    plan = Plan("", "", (Quota("boot", None, 100),), 50)
    assert [shard.number for shard in made(resources, painter, plan=plan)] == [0, 1]
    assert painter.seen.index((0, 1)) < 12
    attempts = [attempt for _, attempt in painter.seen]
    assert attempts[-12:] == sorted(attempts[-12:])
    assert attempts[-4:] == [2] * 4


def test_a_place_is_filled_once_at_most_and_stays_empty_after_the_last_attempt(resources: Resources) -> None:
    (outcome,) = made(resources, Painter(sometimes))
    outcome.sort()
    kept = [sample.candidate.request.index for sample in outcome.kept]
    assert kept == [i for i in range(18) if i % 3 != 1]
    dropped = Counter(sample.candidate.request.index for sample in outcome.dropped)
    assert {i: n for i, n in dropped.items() if i not in kept} == dict.fromkeys(range(1, 18, 3), 3)
    assert all(sample.verdict.reason for sample in outcome.dropped)
    assert all(sample.verdict.reason is None for sample in outcome.kept)


def test_another_attempt_has_another_seed_and_the_same_task(resources: Resources) -> None:
    dropped = made(resources, Painter(always))[0].dropped
    asked = [sample.candidate.request for sample in dropped]
    assert len(asked) == 3 * 18
    assert len({request.seed for request in asked}) == len(asked)
    assert len({(r.index, r.label, r.prompt, r.guidance, r.steps) for r in asked}) == 18


def test_when_nothing_is_dropped_nothing_is_made_twice(resources: Resources) -> None:
    painter = Painter(never)
    assert len(made(resources, painter)[0].kept) == len(painter.seen) == 18


def test_requests_are_prepared_a_few_at_a_time(resources: Resources) -> None:
    method, prepared = open_method(resources), list[int]()

    class Counting:
        def requests(self, some: list[Any], attempt: int) -> list[Request]:
            prepared.append(len(some))
            return method.requests(some, attempt)

    plan, panel = planned(resources), Panel(resources)
    shards = [Attempts(0, plan.shard(0), 3, panel.comparisons())]
    with Background("read") as reader, Foreground() as judges:
        queue = ShardQueue(Counting(), panel, shards, plan.planned, 4, reader, judges)  # type: ignore[arg-type]
        first = queue.take(1, wait=True)
        result(queue.first[-1])
        assert prepared == [4, 4]
        rest = queue.take(100, wait=False)
    assert [request.index for request in first + rest] == list(plan.indices(0))
    assert prepared == [4, 4, 1]


def test_the_parquet_holds_what_the_report_counts(resources: Resources) -> None:
    plan = planned(resources)
    assert plan.shards == 2
    counts = [run(resources, n, Painter(sometimes)) for n in range(2)]
    for n, count in enumerate(counts):
        kept = rows.read(resources.store.get(keys.data(resources.root, n, 2)))
        dropped = rows.read(resources.store.get(keys.rejected(resources.root, n, 2)))
        assert (count["shard"], count["planned"]) == (n, 9)
        assert (len(kept), len(dropped)) == (count["kept"], count["dropped"])
        assert {row["index"] for row in kept + dropped} == {slot.index for slot in plan.shard(n)}
        assert resources.store.json(keys.report(resources.root, n)) == count
    assert sum(count["kept"] for count in counts) == 12


class Recorded(Store):
    """A store that remembers the order of its writes."""

    written: list[str] = []  # noqa: RUF012  (reset by each test that uses it)

    def put(self, key: str, data: bytes) -> None:
        super().put(key, data)
        self.written.append(key)

    def put_first(self, key: str, data: bytes) -> bytes:
        self.written.append(key)
        return super().put_first(key, data)


def test_the_report_is_written_last(resources: Resources) -> None:
    resources.store = Recorded(resources.store.objects)
    Recorded.written = []
    run(resources, 1, Painter(sometimes))
    root = resources.root
    assert Recorded.written == [keys.data(root, 1, 2), keys.rejected(root, 1, 2), keys.report(root, 1)]


def test_a_second_run_asks_for_nothing_and_writes_nothing(resources: Resources) -> None:
    first = run(resources, 0, Painter(sometimes))
    resources.store = Recorded(resources.store.objects)
    Recorded.written = []
    painter = Painter(always)
    assert run(resources, 0, painter) == first
    assert painter.seen == []
    assert Recorded.written == []


class Dying(Painter):
    """Dies after its first few candidates."""

    def batches(self, queue: RequestQueue, probe: Probe | None = None) -> Iterator[list[Candidate]]:
        for number, candidates in enumerate(super().batches(queue, probe)):
            if number == 1:
                raise KeyboardInterrupt
            yield candidates


def test_killed_half_way_it_is_not_done_and_then_gives_the_same_bytes(
    resources: Resources, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(resources, 0, Dying(sometimes))
    assert not resources.store.exists(keys.report(resources.root, 0))
    other = Resources(resources.spec, Store.open(tmp_path / "other"), resources.progress)
    for each in (resources, other):
        run(each, 0, Painter(sometimes))
    assert resources.store.keys("") == other.store.keys("")
    for key in resources.store.keys(""):
        assert resources.store.get(key) == other.store.get(key)


def test_shards_can_be_made_in_any_order(resources: Resources, tmp_path: Path) -> None:
    other = Resources(resources.spec, Store.open(tmp_path / "other"), resources.progress)
    for n in (0, 1):
        run(resources, n, Painter(sometimes))
    for n in (1, 0):
        run(other, n, Painter(sometimes))
    assert [resources.store.get(key) for key in resources.store.keys("")] == [
        other.store.get(k) for k in other.store.keys("")
    ]
