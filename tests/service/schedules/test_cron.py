"""When the next tick of a cron expression comes."""

from datetime import UTC, datetime

import pytest

from pipelines.errors import SpecError
from service.schedules.cron import next_tick


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
    assert next_tick(cron, zone, at(after)) == at(then)


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
        next_tick(cron, zone, at("2026-11-24T00:00"))
