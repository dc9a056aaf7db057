"""What rows refer to in the object store: it stays there as long as they do."""

from dataclasses import dataclass

from sqlalchemy import func, select, union

from service.state.database import Database
from service.state.lifecycle import ENDED, PUBLISHED
from service.state.tables import ApiKey, Dataset, Schedule, Unit, Upload, Version

UNREAD = ("waiting", "reading")  # states of an upload whose archive is needed


@dataclass(frozen=True, slots=True)
class DatasetVersions:
    """A dataset, also one of which all is removed, with its versions."""

    name: str
    last: int  # the number that was given last
    numbers: list[int]  # of all versions
    published: list[tuple[int, int, float]]  # id and number of those that are, and since when: seconds since the epoch


def tenants(database: Database) -> list[str]:
    query = union(*(select(table.tenant) for table in (ApiKey, Dataset, Upload)))
    with database.read() as session:
        return sorted(session.scalars(query))


def versions_by_dataset(database: Database, tenant: str) -> list[DatasetVersions]:
    """All datasets of a tenant, as they are at one moment."""
    columns = Version.dataset, Version.id, Version.number, Version.state, Version.entered
    with database.read() as session:
        datasets = session.execute(select(Dataset.name, Dataset.last).where(Dataset.tenant == tenant)).tuples().all()
        result = {name: DatasetVersions(name, last, [], []) for name, last in datasets}
        for name, identity, number, state, entered in session.execute(select(*columns).where(Version.tenant == tenant)):
            if name in result:
                result[name].numbers.append(number)
                if state in PUBLISHED:
                    result[name].published.append((identity, number, max(entered.values())))
    return list(result.values())


def source_states(database: Database, tenant: str) -> set[tuple[str, str]]:
    """The states of uploaded sources that versions are made from: (source, digest)."""
    source, digest = Version.spec[("source", "name")].as_string(), Version.spec[("source", "digest")].as_string()
    uploaded = Version.spec[("source", "type")].as_string() == "uploaded", digest.is_not(None)
    with database.read() as session:
        rows = session.execute(select(source, digest).where(Version.tenant == tenant, *uploaded).distinct())
        return {(str(name), str(state)) for name, state in rows}


def artifacts(database: Database, tenant: str) -> set[str]:
    """Keys of what versions have learned or used: one of each artifact."""
    query = select(Unit.report).where(Unit.tenant == tenant, Unit.stage == "learn", Unit.state == "done")
    with database.read() as session:
        return {key for report in session.scalars(query) for key in (report or {}).get("artifacts", [])}


def archives(database: Database, tenant: str) -> set[str]:
    """Keys of the uploads that are still to be read."""
    with database.read() as session:
        return set(session.scalars(select(Upload.key).where(Upload.tenant == tenant, Upload.state.in_(UNREAD))))


def last_upload(database: Database, tenant: str) -> int:
    """The id of the tenant's last upload; 0 if it has none."""
    with database.read() as session:
        return session.scalar(select(func.max(Upload.id)).where(Upload.tenant == tenant)) or 0


def versions(database: Database, tenant: str) -> list[Version]:
    """All versions of a tenant that are not being removed, by dataset and number."""
    criteria = Version.tenant == tenant, Version.state != "deleting"
    with database.read() as session:
        return list(session.scalars(select(Version).where(*criteria).order_by(Version.dataset, Version.number)))


def schedules_of(database: Database, tenant: str, source: str) -> list[str]:
    """The datasets that are refreshed by the clock from an uploaded source."""
    of_source = (
        Schedule.spec[("source", "type")].as_string() == "uploaded",
        Schedule.spec[("source", "name")].as_string() == source,
    )
    with database.read() as session:
        return list(session.scalars(select(Schedule.dataset).where(Schedule.tenant == tenant, *of_source)))


def learning(database: Database, tenant: str, folder: str) -> Version | None:
    """A version on its way that uses the artifact of this folder."""
    query = select(Version, Unit.report).join(Unit, Unit.version_id == Version.id)
    running = Version.tenant == tenant, ~Version.state.in_(ENDED), Unit.stage == "learn", Unit.state == "done"
    with database.read() as session:
        rows = session.execute(query.where(*running)).tuples().all()
        used = [version for version, report in rows if f"{folder}/" in "".join((report or {}).get("artifacts", []))]
    return next(iter(used), None)
