"""The tick of a schedule fires once, however many schedulers look and however late they are."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from service.schedules.tick import fire_due
from service.settings import Settings
from service.state import leases, queue, schedules, versions
from service.state.database import Database
from service.state.tables import Schedule, Version
from tests.builders import document

DAY = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def scheduled(database: Database, late: float | None, **changes: Any) -> None:
    """A schedule of shoes, every minute, whose tick came so many seconds ago."""
    asked = {"cron": "* * * * *", "time_zone": "UTC", "spec": document(), "enabled": True, "busy": "skip", **changes}
    schedules.put(database, "team", "shoes", **asked)
    if late is not None:
        with database.write() as session:
            session.execute(update(Schedule).values(next_tick=time.time() - late))


def found(database: Database) -> list[Version]:
    return versions.page(database, "team", dataset="shoes", state=None, before=None, limit=100)


def row(database: Database) -> Schedule:
    made = schedules.find(database, "team", "shoes")
    assert made is not None
    return made


def finish(database: Database, ends: str) -> None:
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {"ends": ends}, {})


def test_before_its_tick_nothing_happens(database: Database, settings: Settings) -> None:
    scheduled(database, None, cron="0 3 1 1 *")
    fire_due(database, settings)
    assert found(database) == []
    assert row(database).outcome is None


def test_a_tick_that_was_missed_for_days_fires_once_late(database: Database, settings: Settings) -> None:
    scheduled(database, 3 * DAY)
    fire_due(database, settings)
    (version,) = found(database)
    assert (version.number, version.previous, version.spec["name"]) == (1, None, "shoes")
    made = row(database)
    assert made.outcome == "version 1 was asked for"
    assert made.next_tick is not None
    assert 0 < made.next_tick - time.time() <= 61
    fire_due(database, settings)
    assert len(found(database)) == 1


def test_a_tick_beyond_a_cap_is_skipped_with_its_reason(database: Database, settings: Settings) -> None:
    versions.create(database, "team", "hats", document())
    scheduled(database, 5)
    fire_due(database, settings.model_copy(update={"max_versions_in_flight": 1}))
    assert found(database) == []
    outcome = row(database).outcome
    assert outcome is not None
    assert outcome.startswith("1 versions are on their way, of 1 that you may have")
    assert schedules.due(database) == []


def test_of_many_schedulers_at_once_one_fires(database: Database, settings: Settings) -> None:
    scheduled(database, 5)
    seen = schedules.due(database)
    assert len(seen) == 1
    with ThreadPoolExecutor(6) as pool:
        fired = list(pool.map(lambda _: schedules.fire(database, seen[0], document()), range(6)))
    assert sorted(fired) == [False] * 5 + [True]
    assert [version.number for version in found(database)] == [1]


def test_while_a_version_is_on_its_way_a_tick_is_skipped(database: Database, settings: Settings) -> None:
    versions.create(database, "team", "shoes", document())
    scheduled(database, 5)
    fire_due(database, settings)
    assert row(database).outcome == "skipped: version 1 was on its way"
    finish(database, "completed")
    fire_due(database, settings)
    assert len(found(database)) == 1


def test_or_waits_until_that_has_ended(database: Database, settings: Settings) -> None:
    versions.create(database, "team", "shoes", document())
    scheduled(database, 5, busy="queue")
    for _ in range(3):
        fire_due(database, settings)
    assert (row(database).outcome, len(found(database))) == (None, 1)
    finish(database, "completed")
    fire_due(database, settings)
    assert [(version.number, version.previous) for version in found(database)] == [(2, 1), (1, None)]


def test_one_that_is_not_enabled_never_fires(database: Database, settings: Settings) -> None:
    scheduled(database, None, enabled=False)
    assert row(database).next_tick is None
    fire_due(database, settings)
    assert found(database) == []


def test_what_cannot_be_asked_for_is_said_and_tried_at_the_next_tick(database: Database, settings: Settings) -> None:
    scheduled(database, 5, spec=document(source={"type": "uploaded", "name": "photos"}))
    fire_due(database, settings)
    made = row(database)
    assert made.outcome is not None
    assert made.outcome.startswith("source.name: no such upload of 'photos'; send it to /v1/sources/photos first")
    assert made.next_tick is not None
    assert made.next_tick > time.time()
    assert found(database) == []
