"""Who works on what, when workers race, die, stall and are told to stop."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.state import events, leases, queue, transitions, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost

WORK = {"learn": 1, "generate": 3, "finalize": 1, "evaluate": 2}


@pytest.fixture
def version(database: Database) -> int:
    return versions.create(database, "team", "shoes", {"name": "shoes"})


def state(database: Database, version: int) -> str:
    found = versions.get(database, version)
    assert found is not None
    return found.state


def take(database: Database, owner: str = "w1", seconds: float = 60) -> Lease:
    """Lease whatever is first in line."""
    (unit, _), *_ = queue.next_units(database)
    lease = leases.acquire(database, unit, owner, seconds)
    assert lease is not None
    return lease


def finish(database: Database, lease: Lease) -> None:
    leases.complete(database, lease, {"n": lease.number}, WORK if lease.stage == "plan" else None)


def through(database: Database, stage: str) -> None:
    """Do all the work of the stages before `stage`."""
    while queue.next_units(database)[0][1] != stage:
        finish(database, take(database))


def test_a_version_goes_through_its_stages_in_order(database: Database, version: int) -> None:
    seen = [state(database, version)]
    done = []
    while queue.next_units(database):
        lease = take(database)
        seen.append(state(database, version))
        done.append((lease.stage, lease.number))
        finish(database, lease)
    seen.append(state(database, version))
    order = ["queued", "planning", "learning", "generating", "finalizing", "evaluating", "completed"]
    assert list(dict.fromkeys(seen)) == order
    assert sorted(done) == sorted(
        [("plan", 0), ("learn", 0), *(("generate", n) for n in range(3)), ("finalize", 0), ("evaluate", 0), ("evaluate", 1)]
    )
    told = [e.data["state"] for e in events.list_after(database, version, 0) if e.kind == "state"]
    assert told == order
    finished = versions.get(database, version)
    assert finished is not None
    assert list(finished.entered) == order
    assert list(finished.entered.values()) == sorted(finished.entered.values())


def test_a_stage_without_work_is_passed_over(database: Database, version: int) -> None:
    leases.complete(database, take(database), {}, {"generate": 1, "finalize": 1})
    assert state(database, version) == "generating"
    finish(database, take(database))
    finish(database, take(database))
    assert state(database, version) == "completed"


def test_of_many_workers_that_race_for_a_unit_one_gets_it(database: Database, version: int) -> None:
    ((unit, _),) = queue.next_units(database)
    gate = threading.Barrier(8)

    def race(name: int) -> Lease | None:
        gate.wait()
        return leases.acquire(database, unit, f"w{name}", 60)

    with ThreadPoolExecutor(8) as pool:
        won = [lease for lease in pool.map(race, range(8)) if lease]
    assert len(won) == 1
    assert leases.acquire(database, unit, "late", 60) is None


def test_many_workers_finish_a_version_with_each_unit_done_once(database: Database, version: int) -> None:
    leases.complete(database, take(database), {}, {"generate": 40, "finalize": 1})
    done: list[tuple[str, int]] = []

    def work(name: int) -> None:
        while state(database, version) != "completed":
            for unit, _ in queue.next_units(database)[:3]:
                if lease := leases.acquire(database, unit, f"w{name}", 60):
                    done.append((lease.stage, lease.number))
                    finish(database, lease)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert sorted(done) == sorted([*(("generate", n) for n in range(40)), ("finalize", 0)])


def test_a_dead_workers_unit_is_taken_over_and_its_ghost_writes_nothing(database: Database, version: int) -> None:
    ghost = take(database, "ghost", seconds=0.05)
    time.sleep(0.1)
    heir = take(database, "heir")
    assert (heir.unit, heir.fence) == (ghost.unit, ghost.fence + 1)
    for late in (
        lambda: leases.renew(database, ghost, 60),
        lambda: leases.complete(database, ghost, {}, {"finalize": 9}),
        lambda: leases.release(database, ghost),
        lambda: leases.fail(database, ghost, "late", again=False),
    ):
        with pytest.raises(LeaseLost):
            late()
    assert state(database, version) == "planning"
    finish(database, heir)
    assert state(database, version) == "learning"


def test_a_renewed_lease_is_not_taken_over(database: Database, version: int) -> None:
    lease = take(database, seconds=0.05)
    leases.renew(database, lease, 60)
    time.sleep(0.1)
    assert queue.next_units(database) == []
    assert leases.acquire(database, lease.unit, "thief", 60) is None


def test_a_unit_given_back_is_taken_up_at_once_and_costs_no_attempt(database: Database, version: int) -> None:
    for _ in range(2 * leases.ATTEMPTS):
        leases.release(database, take(database))
    assert take(database).attempts == 1


def test_what_fails_for_a_while_is_tried_again_later_and_later(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.05)
    leases.fail(database, take(database), "store: 503", again=True)
    assert queue.next_units(database) == []
    time.sleep(0.1)
    leases.fail(database, take(database), "store: 503", again=True)
    time.sleep(0.06)
    assert queue.next_units(database) == []
    time.sleep(0.1)
    finish(database, take(database))
    assert state(database, version) == "learning"


@pytest.mark.parametrize("again", [False, True])
def test_what_cannot_be_done_fails_the_version_with_its_reason(
    database: Database, version: int, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.0)
    for _ in range(leases.ATTEMPTS if again else 1):
        leases.fail(database, take(database), "source.path: no such folder", again=again)
    found = versions.get(database, version)
    assert found is not None
    assert (found.state, found.error) == ("failed", "source.path: no such folder")
    assert queue.next_units(database) == []


def test_a_unit_that_kills_its_workers_fails_the_version(database: Database, version: int) -> None:
    ((unit, _),) = queue.next_units(database)
    for _ in range(leases.ATTEMPTS):
        assert leases.acquire(database, unit, "doomed", 0)
        time.sleep(0.01)
    assert leases.acquire(database, unit, "spared", 60) is None
    found = versions.get(database, version)
    assert found is not None
    assert (found.state, found.error) == ("failed", "plan 0: its worker died 5 times")


def test_a_cancelled_version_stops_its_workers_and_then_is_cancelled(database: Database, version: int) -> None:
    through(database, "generate")
    first, second = take(database), take(database)
    transitions.cancel(database, version)
    assert state(database, version) == "cancelling"
    with pytest.raises(LeaseLost):
        leases.renew(database, first, 60)
    leases.release(database, first)
    assert state(database, version) == "cancelling"
    finish(database, second)
    assert state(database, version) == "cancelled"
    assert queue.next_units(database) == []


def test_what_nobody_works_on_is_cancelled_at_once(database: Database, version: int) -> None:
    transitions.cancel(database, version)
    assert state(database, version) == "cancelled"


def test_tried_again_a_version_does_only_what_is_missing(database: Database, version: int) -> None:
    through(database, "generate")
    finish(database, take(database))
    leases.fail(database, take(database), "out of memory", again=False)
    assert transitions.retry(database, version)
    assert state(database, version) == "generating"
    assert [stage for _, stage in queue.next_units(database)] == ["generate", "generate"]
    while queue.next_units(database):
        finish(database, take(database))
    assert state(database, version) == "completed"
    assert not transitions.retry(database, version)


def test_tried_again_after_its_last_unit_was_done_it_goes_on(database: Database, version: int) -> None:
    lease = take(database)
    transitions.cancel(database, version)
    finish(database, lease)
    assert state(database, version) == "cancelled"
    assert transitions.retry(database, version)
    assert state(database, version) == "learning"


def test_numbers_of_a_dataset_count_up_and_events_are_read_on_from_anywhere(database: Database, version: int) -> None:
    again = versions.create(database, "team", "shoes", {})
    other = versions.create(database, "others", "shoes", {})
    numbers = [found.number for each in (version, again, other) if (found := versions.get(database, each))]
    assert numbers == [1, 2, 1]
    finish(database, take(database))
    told = events.list_after(database, version, 0)
    assert [e.kind for e in told] == ["state", "state", "unit", "state"]
    assert [e.id for e in events.list_after(database, version, told[1].id)] == [e.id for e in told[2:]]


def test_what_waits_is_counted_by_stage(database: Database, version: int) -> None:
    through(database, "generate")
    take(database)
    assert queue.count_active(database) == {
        ("plan", "done"): 1,
        ("learn", "done"): 1,
        ("generate", "ready"): 2,
        ("generate", "leased"): 1,
    }
    assert 0 <= queue.longest_wait(database) < 10
