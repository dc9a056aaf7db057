"""Datasets: their versions, and which of them is to be used."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from service.state.database import Database
from service.state.lifecycle import PUBLISHED, State
from service.state.tables import Dataset, Schedule, Version
from service.state.versions import locked, move

SHOWN = 100  # versions of a dataset that are listed with it


@dataclass(frozen=True, slots=True)
class Series:
    """A dataset with its newest versions, the newest first."""

    name: str
    latest: int | None
    versions: list[tuple[int, State]]
    schedule: Schedule | None


def page(database: Database, tenant: str, *, after: str, limit: int) -> list[Series]:
    """A tenant's datasets by name, those after `after`."""
    found = select(Dataset).where(Dataset.tenant == tenant, Dataset.name > after).order_by(Dataset.name).limit(limit)
    with database.read() as session:
        rows = session.scalars(found).all()
    return [series(database, row) for row in rows]


def find(database: Database, tenant: str, name: str) -> Series | None:
    with database.read() as session:
        row = session.get(Dataset, (tenant, name))
    return None if row is None else series(database, row)


def series(database: Database, row: Dataset) -> Series:
    newest = (
        select(Version.number, Version.state)
        .where(Version.tenant == row.tenant, Version.dataset == row.name)
        .order_by(Version.number.desc())
        .limit(SHOWN)
    )
    with database.read() as session:
        numbered: Sequence[tuple[int, State]] = session.execute(newest).tuples().all()
        return Series(row.name, row.latest, list(numbered), session.get(Schedule, (row.tenant, row.name)))


def promote(database: Database, version: Version) -> bool:
    """Make a published version the latest: one that was held, or an older one again. False if it is not published."""
    with database.write() as session:
        found = session.get(Version, version.id, with_for_update=True)
        if found is None or found.state not in PUBLISHED:
            return False
        if found.state == "held":
            move(session, found, "completed")
        locked(session, version.tenant, version.dataset).latest = found.number
        return True


def base(database: Database, tenant: str, name: str) -> Version | None:
    """The newest published version of a dataset."""
    its = Version.tenant == tenant, Version.dataset == name, Version.state.in_(PUBLISHED)
    with database.read() as session:
        return session.scalars(select(Version).where(*its).order_by(Version.number.desc()).limit(1)).one_or_none()
