"""How a version goes through its states, is cancelled and retried."""

import time

import pytest

from service.state import datasets, events, leases, queue, transitions, versions
from service.state.database import Database
from service.state.leases import LeaseLost
from tests.service.state.units import finish, state, take, through


def test_a_version_goes_through_its_stages_in_order(database: Database, version: int) -> None:
    seen = [state(database, version)]
    done = []
    while queue.next_units(database):
        lease = take(database)
        seen.append(state(database, version))
        done.append((lease.stage, lease.number))
        finish(database, lease)
    seen.append(state(database, version))
    order = ["queued", "planning", "learning", "generating", "finalizing", "evaluating", "reporting", "completed"]
    assert list(dict.fromkeys(seen)) == order
    units = {"plan": 1, "learn": 1, "generate": 3, "finalize": 1, "evaluate": 2, "report": 1}
    assert sorted(done) == sorted((stage, number) for stage, count in units.items() for number in range(count))
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


def test_a_version_that_is_cancelled_again_meanwhile_is_cancelled_once(database: Database, version: int) -> None:
    through(database, "generate")
    lease = take(database)
    for _ in range(3):
        assert transitions.cancel(database, version)
    leases.release(database, lease)
    assert not transitions.cancel(database, version)
    history = [event.data["state"] for event in events.list_after(database, version, 0) if event.kind == "state"]
    assert history[-2:] == ["cancelling", "cancelled"]
    assert history.count("cancelling") == 1


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


@pytest.mark.parametrize("noticed", [True, False])
def test_a_version_that_is_cancelled_at_work_is_cancelled_once_its_worker_notices_or_is_dead(
    database: Database, version: int, noticed: bool
) -> None:
    lease = take(database, seconds=60 if noticed else 0.5)
    assert transitions.cancel(database, version)
    assert state(database, version) == "cancelling"
    with pytest.raises(LeaseLost):
        leases.renew(database, lease, 60)
    if noticed:
        transitions.settle_cancelling(database)
        assert state(database, version) == "cancelling"  # the worker is at it
        leases.release(database, lease)
    else:
        time.sleep(0.6)
        transitions.settle_cancelling(database)
    assert state(database, version) == "cancelled"
    assert transitions.retry(database, version)
    assert take(database).unit == lease.unit


def test_a_unit_that_fails_while_its_version_is_cancelled_ends_the_cancelling(database: Database, version: int) -> None:
    lease = take(database)
    transitions.cancel(database, version)
    leases.fail(database, lease, "store: 503", again=True)
    assert state(database, version) == "cancelled"


def test_a_version_that_was_latest_unevaluated_is_so_no_more_once_its_evaluation_holds_it(
    database: Database, version: int
) -> None:
    through(database, "evaluate")
    leases.fail(database, take(database), "out of memory", again=False)
    assert transitions.retry(database, version)
    while queue.next_units(database):
        lease = take(database)
        leases.complete(database, lease, {"ends": "held", "held": "worse"} if lease.stage == "report" else {})
    assert (state(database, version), versions.hold(database, version)) == ("held", "worse")
    dataset = datasets.find(database, "team", "shoes")
    assert dataset is not None
    assert dataset.latest is None


@pytest.mark.parametrize("refresh", [False, True])
def test_a_version_whose_evaluation_fails_is_published_without_and_can_be_evaluated_again(
    database: Database, version: int, refresh: bool
) -> None:
    if refresh:
        through(database, "evaluate")
        while queue.next_units(database):
            finish(database, take(database))
        version = versions.create(database, "team", "shoes", {}, refresh=True)
    through(database, "evaluate")
    leases.fail(database, take(database), "out of memory", again=False)
    row = versions.get(database, version)
    assert row is not None
    assert (row.state, row.error) == ("held" if refresh else "completed", "not evaluated: out of memory")
    dataset = datasets.find(database, "team", "shoes")
    assert dataset is not None
    assert dataset.latest == 1
    assert queue.next_units(database) == []
    assert transitions.retry(database, version)
    assert state(database, version) == "evaluating"
    while queue.next_units(database):
        finish(database, take(database))
    row = versions.get(database, version)
    assert row is not None
    assert (row.state, row.error) == ("completed", None)
    assert not transitions.retry(database, version)


def test_of_an_evaluation_only_what_failed_is_tried_again(database: Database, version: int) -> None:
    through(database, "evaluate")
    first, second = take(database), take(database)
    leases.fail(database, first, "out of memory", again=False)
    assert state(database, version) == "completed"
    finish(database, second)  # it was on its way: its scores count
    assert transitions.retry(database, version)
    again = take(database)
    assert (again.stage, again.number) == ("evaluate", first.number)
    finish(database, again)
    assert state(database, version) == "reporting"
    leases.fail(database, take(database), "no such object", again=False)
    row = versions.get(database, version)
    assert row is not None
    assert (row.state, row.error) == ("completed", "not evaluated: no such object")
    assert transitions.retry(database, version)
    assert state(database, version) == "reporting"
    finish(database, take(database))
    assert (state(database, version), queue.next_units(database)) == ("completed", [])
