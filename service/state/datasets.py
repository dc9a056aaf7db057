"""Datasets: their versions, and which of them is the latest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.state import transitions
from service.state.database import Database
from service.state.lifecycle import PUBLISHED, State
from service.state.tables import Dataset, Schedule, Version

VERSIONS_LISTED = 100  # versions that are listed with their dataset


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset with its newest versions, the newest first."""

    name: str
    latest: int | None
    versions: list[tuple[int, State]]
    schedule: Schedule | None


def lock(session: Session, tenant: str, name: str) -> Dataset:
    """The dataset's row, inserted when new, locked until the transaction ends: so its versions are numbered one by one."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(Dataset).values(tenant=tenant, name=name, last=0).on_conflict_do_nothing())
    return session.get_one(Dataset, (tenant, name), with_for_update=True)


def not_empty() -> Any:
    """Condition: the dataset has a version or a schedule. The row of one that had stays, for the number given last."""
    of_version = Version.tenant == Dataset.tenant, Version.dataset == Dataset.name
    of_schedule = Schedule.tenant == Dataset.tenant, Schedule.dataset == Dataset.name
    return or_(exists().where(*of_version), exists().where(*of_schedule))


def page(database: Database, tenant: str, *, after: str, limit: int) -> list[DatasetSummary]:
    """A tenant's datasets by name, those after `after`."""
    query = select(Dataset).where(Dataset.tenant == tenant, Dataset.name > after, not_empty())
    with database.read() as session:
        rows = session.scalars(query.order_by(Dataset.name).limit(limit)).all()
    return [summary(database, row) for row in rows]


def find(database: Database, tenant: str, name: str) -> DatasetSummary | None:
    with database.read() as session:
        row = session.scalar(select(Dataset).where(Dataset.tenant == tenant, Dataset.name == name, not_empty()))
    return None if row is None else summary(database, row)


def summary(database: Database, row: Dataset) -> DatasetSummary:
    newest = (
        select(Version.number, Version.state)
        .where(Version.tenant == row.tenant, Version.dataset == row.name)
        .order_by(Version.number.desc())
        .limit(VERSIONS_LISTED)
    )
    with database.read() as session:
        numbers: Sequence[tuple[int, State]] = session.execute(newest).tuples().all()
        return DatasetSummary(row.name, row.latest, list(numbers), session.get(Schedule, (row.tenant, row.name)))


def promote(database: Database, version: Version) -> bool:
    """Make a published version the latest: one that was held, or an older one again. False if it is not published."""
    with database.write() as session:
        row = session.get(Version, version.id, with_for_update=True)
        if row is None or row.state not in PUBLISHED:
            return False
        if row.state == "held":
            transitions.set_state(session, row, "completed")
        lock(session, version.tenant, version.dataset).latest = row.number
        return True


def newest_published(database: Database, tenant: str, name: str) -> Version | None:
    published = Version.tenant == tenant, Version.dataset == name, Version.state.in_(PUBLISHED)
    with database.read() as session:
        return session.scalars(select(Version).where(*published).order_by(Version.number.desc()).limit(1)).one_or_none()
