"""When a tick comes, and that it fires once, however many look and however late they are."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from pipelines.errors import SpecError
from service.schedules.cron import following
from service.settings import Settings
from service.state import datasets, leases, schedules, versions
from service.state.database import Database
from service.state.tables import Schedule, Version
from service.versions.submission import refresh_due
from tests.benches import document

DAY = 86_400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "zone", "after", "then"),
    [
        ("0 3 * * *", "UTC", "2026-11-24T02:59", "2026-11-24T03:00"),
        ("0 3 * * *", "UTC", "2026-11-24T03:00", "2026-11-25T03:00"),
        ("0 3 * * 1", "Asia/Tokyo", "2026-11-24T00:00", "2026-11-29T18:00"),
        ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),  # winter ends that night
        ("0 3 * * *", "Europe/Berlin", "2026-03-29T12:00", "2026-03-30T01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),  # there is no half past two then
    ],
)
def test_a_tick_comes_by_the_clock_of_its_zone(cron: str, zone: str, after: str, then: str) -> None:
    assert following(cron, zone, at(after)) == at(then)


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("every day", "UTC", r"^cron: 'every day' cannot be read \(Wrong number of fields\); give minute, hour"),
        ("*/5 * * * * *", "UTC", r"^cron: .* cannot be read \(Wrong number of fields\)"),
        ("61 * * * *", "UTC", r"^cron: '61 \* \* \* \*' cannot be read \(Bad minute\)"),
        ("0 0 31 2 *", "UTC", r"^cron: '0 0 31 2 \*' cannot be read \(Bad day-of-month\)"),
        ("0 3 * * *", "Berlin", r"^time_zone: 'Berlin' is not known; give one such as 'Europe/Berlin'"),
        ("0 3 * * *", "../UTC", r"^time_zone: '../UTC' is not known"),
        ("0 3 * * *", "Europe", r"^time_zone: 'Europe' is not known"),
        ("0 3 * * *", "", r"^time_zone: '' is not known"),
    ],
)
def test_what_is_no_time_is_refused_with_the_remedy(cron: str, zone: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        following(cron, zone, at("2026-11-24T00:00"))


def scheduled(database: Database, late: float | None, **changes: Any) -> None:
    """A schedule of shoes, every minute, whose tick came so many seconds ago."""
    asked = {"cron": "* * * * *", "time_zone": "UTC", "spec": document(), "enabled": True, "busy": "skip", **changes}
    schedules.put(database, "team", "shoes", **asked)
    if late is not None:
        with database.write() as session:
            session.execute(update(Schedule).values(due=time.time() - late))


def found(database: Database) -> list[Version]:
    return versions.page(database, "team", dataset="shoes", state=None, before=None, limit=100)


def row(database: Database) -> Schedule:
    made = schedules.find(database, "team", "shoes")
    assert made is not None
    return made


def finish(database: Database, ends: str) -> None:
    ((unit, _),) = leases.in_line(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {"ends": ends}, {})


def test_before_its_tick_nothing_happens(database: Database, settings: Settings) -> None:
    scheduled(database, None, cron="0 3 1 1 *")
    refresh_due(database, settings)
    assert found(database) == []
    assert row(database).said is None


def test_a_tick_that_was_missed_for_days_fires_once_late(database: Database, settings: Settings) -> None:
    scheduled(database, 3 * DAY)
    refresh_due(database, settings)
    (version,) = found(database)
    assert (version.number, version.previous, version.spec["name"]) == (1, None, "shoes")
    made = row(database)
    assert made.said == "version 1 was asked for"
    assert made.due is not None
    assert 0 < made.due - time.time() <= 61
    refresh_due(database, settings)
    assert len(found(database)) == 1


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
    refresh_due(database, settings)
    assert row(database).said == "skipped: version 1 was on its way"
    finish(database, "completed")
    refresh_due(database, settings)
    assert len(found(database)) == 1


def test_or_waits_until_that_has_ended(database: Database, settings: Settings) -> None:
    versions.create(database, "team", "shoes", document())
    scheduled(database, 5, busy="queue")
    for _ in range(3):
        refresh_due(database, settings)
    assert (row(database).said, len(found(database))) == (None, 1)
    finish(database, "completed")
    refresh_due(database, settings)
    assert [(version.number, version.previous) for version in found(database)] == [(2, 1), (1, None)]


def test_one_that_is_not_enabled_never_fires(database: Database, settings: Settings) -> None:
    scheduled(database, None, enabled=False)
    assert row(database).due is None
    refresh_due(database, settings)
    assert found(database) == []


def test_what_cannot_be_asked_for_is_said_and_tried_at_the_next_tick(database: Database, settings: Settings) -> None:
    scheduled(database, 5, spec=document(source={"type": "uploaded", "name": "photos"}))
    refresh_due(database, settings)
    made = row(database)
    assert made.said is not None
    assert made.said.startswith("source.name: no such upload of 'photos'; send it to /v1/sources/photos first")
    assert made.due is not None
    assert made.due > time.time()
    assert found(database) == []


def test_a_run_that_found_nothing_new_leaves_its_number_to_the_next(database: Database) -> None:
    for ends in ("completed", "unchanged", "unchanged", "held", "unchanged"):
        versions.create(database, "team", "shoes", document(), refresh=True)
        finish(database, ends)
    assert [(v.number, v.previous, v.state) for v in found(database)] == [
        (3, 2, "unchanged"), (2, 1, "held"), (1, None, "completed"),
    ]  # fmt: skip
    series = datasets.find(database, "team", "shoes")
    assert series is not None
    assert series.latest == 1


def test_a_version_that_completes_after_a_newer_one_is_not_the_latest(database: Database) -> None:
    for _ in range(2):
        versions.create(database, "team", "shoes", document())
    for unit, _ in reversed(leases.in_line(database)):
        lease = leases.acquire(database, unit, "w", 60)
        assert lease is not None
        leases.complete(database, lease, {}, {})
    series = datasets.find(database, "team", "shoes")
    assert series is not None
    assert series.latest == 2
