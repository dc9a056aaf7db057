"""Removal of versions: they are marked in one transaction, with a unit that removes the files, and go when that is done.

A version that is being removed is not published, latest or refreshable from then on. Its unit is tried until it succeeds.
"""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.state import datasets, leases, transitions, versions
from service.state.database import Database
from service.state.leases import Lease
from service.state.lifecycle import ENDED
from service.state.tables import Schedule, Unit, Version
from service.state.versions import VersionRunning


class VersionRefreshed(Exception):
    """A version that has not ended is being made from this one; its number is the argument."""


def begin(database: Database, version_id: int) -> None:
    """Mark a version as being removed; once it is, this does nothing. Raises VersionRunning and VersionRefreshed."""
    with database.write() as session:
        version = session.get(Version, version_id, with_for_update=True)
        if version is None or version.state == "deleting":
            return
        if version.state not in ENDED:
            raise VersionRunning(version.number)
        dataset = datasets.lock(session, version.tenant, version.dataset)
        if (refresh := versions.refresh_of(session, version)) is not None:
            raise VersionRefreshed(refresh)
        mark(session, version)
        transitions.forget_latest(session, dataset)


def begin_all(database: Database, tenant: str, name: str) -> None:
    """Mark all versions of a dataset, and remove its schedule. Raises VersionRunning. Its row stays, unlisted, so that no
    number is given twice."""
    of_dataset = Version.tenant == tenant, Version.dataset == name
    with database.write() as session:
        rows = session.scalars(select(Version).where(*of_dataset).order_by(Version.id).with_for_update()).all()
        dataset = datasets.lock(session, tenant, name)
        if (number := versions.running(session, tenant, name)) is not None:
            raise VersionRunning(number)
        session.execute(delete(Schedule).where(Schedule.tenant == tenant, Schedule.dataset == name))
        for version in rows:
            if version.state != "deleting":
                mark(session, version)
        transitions.forget_latest(session, dataset)


def mark(session: Session, version: Version) -> None:
    """Put the removal of a version in place of all its units."""
    session.execute(delete(Unit).where(Unit.version_id == version.id))
    transitions.set_state(session, version, "deleting")
    transitions.add_units(session, version, "delete", 1)


def complete(database: Database, lease: Lease) -> None:
    """All files of the version are gone: now its row is, with its units, events and idempotency keys. Raises LeaseLost."""
    with database.write() as session:
        leases.lock(session, lease.version, None)
        leases.end_lease(session, lease, state="done")
        session.execute(delete(Version).where(Version.id == lease.version))
