"""Events of a version, and numbers of a dataset's versions."""

from service.state import events, versions
from service.state.database import Database
from tests.service.state.units import finish, take


def test_numbers_of_a_dataset_count_up_and_events_are_read_on_from_anywhere(database: Database, version: int) -> None:
    again = versions.create(database, "team", "shoes", {})
    other = versions.create(database, "others", "shoes", {})
    numbers = [found.number for each in (version, again, other) if (found := versions.get(database, each))]
    assert numbers == [1, 2, 1]
    finish(database, take(database))
    told = events.list_after(database, version, 0)
    assert [e.kind for e in told] == ["state", "state", "unit", "state"]
    assert [e.id for e in events.list_after(database, version, told[1].id)] == [e.id for e in told[2:]]
