"""Versions that are removed: marked once, worked on until it succeeds, and gone with all that is theirs. 3 s."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import delete, func, select

from service.state import datasets, deletions, leases, queue, transitions, versions
from service.state.database import Database
from service.state.deletions import VersionRefreshed
from service.state.idempotency import IdempotentRequest
from service.state.leases import Lease, LeaseLost
from service.state.tables import Event, IdempotencyKey, Unit, Version, now
from service.state.versions import VersionRunning
from tests.service.state.units import state, take, through


def completed(database: Database, **options: bool) -> Version:
    """A version that is made with nothing to do."""
    version = versions.create(database, "team", "shoes", {"name": "shoes"}, **options)
    leases.complete(database, take(database), {}, {})
    found = versions.get(database, version)
    assert found is not None
    return found


def rows(database: Database, table: type[Event | IdempotencyKey | Unit | Version]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_what_is_being_removed_is_published_latest_and_refreshed_no_more(database: Database) -> None:
    first, second = completed(database), completed(database)
    deletions.begin(database, second.id)
    assert state(database, second.id) == "deleting"
    dataset, newest = datasets.find(database, "team", "shoes"), datasets.newest_published(database, "team", "shoes")
    assert dataset is not None
    assert newest is not None
    assert (dataset.latest, newest.number) == (1, 1)
    assert not datasets.promote(database, second)
    assert not transitions.retry(database, second.id)
    assert not transitions.cancel(database, second.id)
    assert versions.staying(database, first) == [1]
    assert versions.create(database, "team", "shoes", {"name": "shoes"}, refresh=True)
    assert versions.page(database, "team", dataset=None, state=None, before=None, limit=1)[0].previous == 1


def test_to_ask_twice_is_one_removal(database: Database) -> None:
    version = completed(database)
    deletions.begin(database, version.id)
    lease = take(database)
    deletions.begin(database, version.id)
    leases.renew(database, lease, 60)
    assert rows(database, Unit) == 1
    deletions.complete(database, lease)
    deletions.begin(database, version.id)


def test_what_runs_or_is_refreshed_stays(database: Database) -> None:
    first = completed(database)
    running = versions.create(database, "team", "shoes", {"name": "shoes"}, refresh=True)
    with pytest.raises(VersionRunning):
        deletions.begin(database, running)
    with pytest.raises(VersionRefreshed, match="2"):
        deletions.begin(database, first.id)
    with pytest.raises(VersionRunning, match="2"):
        deletions.begin_all(database, "team", "shoes")
    assert (state(database, first.id), state(database, running)) == ("completed", "queued")


def test_units_left_over_are_not_worked_on_and_their_workers_lose_them(database: Database, version: int) -> None:
    through(database, "generate")
    ghost = take(database, "ghost")
    leases.fail(database, take(database), "broken", again=False)
    deletions.begin(database, version)
    assert [stage for _, stage in queue.next_units(database)] == ["delete"]
    with pytest.raises(LeaseLost):
        leases.renew(database, ghost, 60)


def test_it_goes_with_units_events_and_keys_and_its_number_is_not_given_again(database: Database) -> None:
    request = IdempotentRequest.of("monday", {})
    version = versions.create(database, "team", "shoes", {"name": "shoes"}, request)
    leases.complete(database, take(database), {}, {})
    deletions.begin_all(database, "team", "shoes")
    lease = take(database)
    deletions.complete(database, lease)
    assert versions.get(database, version) is None
    assert [rows(database, table) for table in (Version, Unit, Event, IdempotencyKey)] == [0, 0, 0, 0]
    assert datasets.find(database, "team", "shoes") is None
    assert datasets.page(database, "team", after="", limit=9) == []
    assert completed(database).number == 2
    assert datasets.find(database, "team", "shoes") is not None


def test_it_is_tried_until_it_succeeds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BACKOFF", 0.0)
    version = completed(database)
    deletions.begin(database, version.id)
    lost: list[Lease] = []
    for _ in range(leases.ATTEMPTS + 1):
        leases.fail(database, take(database), "store: 403", again=False)
        lost.append(take(database, seconds=0))  # its worker dies
    lease = take(database)
    assert lease.attempts > 2 * leases.ATTEMPTS
    for late in lost:
        with pytest.raises(LeaseLost):
            deletions.complete(database, late)
    assert state(database, version.id) == "deleting"
    deletions.complete(database, lease)
    assert versions.get(database, version.id) is None


def test_the_wait_before_another_attempt_has_a_bound(database: Database) -> None:
    version = completed(database)
    deletions.begin(database, version.id)
    lease = replace(take(database), attempts=5000)
    leases.fail(database, lease, "store: 503", again=True)
    with database.read() as session:
        wait = session.scalar(select(Unit.not_before - now()))
    assert wait is not None
    assert leases.LONGEST_BACKOFF - 60 < wait <= leases.LONGEST_BACKOFF


def test_whoever_waits_for_a_version_that_goes_has_nothing_to_do(database: Database) -> None:
    version = completed(database)
    deletions.begin(database, version.id)
    ((unit, _),) = queue.next_units(database)
    waiting = (
        lambda: leases.acquire(database, unit, "late", 60),
        lambda: transitions.cancel(database, version.id),
        lambda: transitions.retry(database, version.id),
        lambda: deletions.begin(database, version.id),
    )
    with ThreadPoolExecutor(len(waiting)) as pool:
        with database.write() as session:
            session.execute(delete(Version).where(Version.id == version.id))
            futures = [pool.submit(call) for call in waiting]
            time.sleep(0.3)  # so that they wait for its lock
        assert [future.result(30) for future in futures] == [None, False, False, None]
