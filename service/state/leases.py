"""Leases: which worker may work on a unit, until when.

A lease has an owner and a fence, a number that goes up with each lease of the unit: a worker with a lower one has lost the
unit, and nothing that it writes here counts. A heartbeat renews the lease; one that is not renewed expires, and the unit is
available again. Every transaction locks the version, or the upload, before its units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from service.caps import lock_tenant
from service.state import counts, events, transitions, uploads
from service.state.database import Database
from service.state.lifecycle import EVALUATION, WORKER_KIND_OF, Stage
from service.state.queue import available, count_running, version_active
from service.state.tables import Unit, Upload, Version, now

ATTEMPTS = 5  # leases of a unit, after which its version fails
BACKOFF = 2.0  # seconds before the second attempt; doubled for each that follows
LONGEST_BACKOFF = 600.0  # seconds


class LeaseLost(Exception):
    """Another worker holds the unit, or its version was cancelled or removed: stop, and write nothing."""


@dataclass(frozen=True, slots=True)
class Lease:
    unit: int  # id of the row
    version: int | None  # id of the row; None: it is an upload's unit
    upload: int | None  # likewise
    stage: Stage
    number: int  # of the unit in its stage, from 0
    fence: int
    attempts: int  # this one included
    owner: str

    def __str__(self) -> str:
        return f"{self.stage} {self.number}"

    @property
    def endless(self) -> bool:
        """Whether the unit is tried until it succeeds: what is being removed can be nothing else."""
        return self.stage == "delete"


def acquire(database: Database, unit: int, owner: str, seconds: float, running_cap: int = 0) -> Lease | None:
    """Lease a unit for so many seconds; None if it is not available, or if its tenant has `running_cap` running units (0: no
    cap). A unit that was leased too often fails its version or upload."""
    values = {
        "state": "leased",
        "owner": owner,
        "lease_until": now() + seconds,
        "fence": Unit.fence + 1,
        "attempts": Unit.attempts + 1,
    }
    columns = Unit.stage, Unit.number, Unit.fence, Unit.attempts
    with database.write() as session:
        owners = session.execute(select(Unit.version_id, Unit.upload_id).where(Unit.id == unit)).one_or_none()
        if owners is None:
            return None
        version_id, upload_id = owners.tuple()
        try:
            locked = lock(session, version_id, upload_id)
        except LeaseLost:
            return None
        if running_cap and not below_cap(session, locked.tenant, running_cap):
            return None
        statement = update(Unit).where(Unit.id == unit, available()).values(values).returning(*columns)
        row = session.execute(statement).one_or_none()
        if row is None:
            return None
        lease = Lease(unit, version_id, upload_id, *row.tuple(), owner=owner)
        if lease.attempts > ATTEMPTS and not lease.endless:
            fail_whole(session, lease, locked, f"{lease}: its worker died {ATTEMPTS} times")
            return None
        if isinstance(locked, Version):
            transitions.start(session, locked, lease.stage)
        else:
            locked.state = "reading"
        return lease


def below_cap(session: Session, tenant: str, running_cap: int) -> bool:
    lock_tenant(session, tenant)
    return count_running(session, Unit.tenant == tenant)[tenant] < running_cap


def lock(session: Session, version_id: int | None, upload_id: int | None) -> Version | Upload:
    """The row that a unit works for, locked until the transaction ends. Raises LeaseLost when it is gone."""
    row: Version | Upload | None
    if version_id is not None:
        row = session.get(Version, version_id, with_for_update=True)
    else:
        row = session.get(Upload, upload_id, with_for_update=True)
    if row is None:
        raise LeaseLost("what the unit works for is gone")
    return row


def in_force(lease: Lease) -> Any:
    """Condition: nobody has leased the unit since, and it was not ended."""
    return and_(Unit.id == lease.unit, Unit.fence == lease.fence, Unit.owner == lease.owner, Unit.state == "leased")


def end_lease(session: Session, lease: Lease, seconds: float = 0.0, **values: Any) -> None:
    """End a lease, with new values of its unit; its version has taken so many seconds more. Raises LeaseLost when it is not
    in force."""
    changes = {"owner": None, "lease_until": None, **values}
    if session.scalar(update(Unit).where(in_force(lease)).values(changes).returning(Unit.id)) is None:
        raise LeaseLost(str(lease))
    if lease.version is not None and seconds:
        column = getattr(Version, f"{WORKER_KIND_OF[lease.stage]}_seconds")
        session.execute(update(Version).where(Version.id == lease.version).values({column: column + seconds}))


def renew(database: Database, lease: Lease, seconds: float) -> None:
    """The heartbeat: the lease holds for so many seconds from now. Raises LeaseLost, also when the version is cancelled."""
    with database.write() as session:
        renewed = update(Unit).where(in_force(lease), version_active()).values(lease_until=now() + seconds)
        if session.scalar(renewed.returning(Unit.id)) is None:
            raise LeaseLost(str(lease))


def complete(
    database: Database,
    lease: Lease,
    report: dict[str, Any],
    unit_counts: dict[str, int] | None = None,
    seconds: float = 0.0,
) -> None:
    """A version's unit is done, in so many seconds; `unit_counts`, from planning alone: units of each stage. Raises
    LeaseLost."""
    assert lease.version is not None
    with database.write() as session:
        version = lock(session, lease.version, None)
        assert isinstance(version, Version)
        end_lease(session, lease, seconds, state="done", report=report, error=None)
        if unit_counts is not None:
            version.unit_counts = dict(unit_counts)
        version.size = report.get("bytes", version.size)
        version.counts = counts.add_report(version.counts, lease.stage, report)
        data = {"stage": lease.stage, "number": lease.number, "report": {**report, "seconds": round(seconds, 1)}}
        events.append(session, lease.version, "unit", data)
        session.flush()
        transitions.advance(session, lease.version)
        transitions.finish_cancelling(session, lease.version)


def complete_upload(database: Database, lease: Lease, report: dict[str, Any], make_newest: Callable[[], None]) -> None:
    """An upload is read, as the state of its `report["digest"]`; `make_newest` makes that the newest of its source, and is
    called unless a later upload has ended. Raises LeaseLost."""
    assert lease.upload is not None
    with database.write() as session:
        upload = lock(session, None, lease.upload)
        assert isinstance(upload, Upload)
        end_lease(session, lease, state="done", report=report, error=None)
        uploads.publish(session, upload, report["digest"], make_newest)


def release(database: Database, lease: Lease, seconds: float = 0.0) -> None:
    """Give a unit back unfinished, available at once; the attempt does not count. A version that is being cancelled may be
    cancelled by it. Raises LeaseLost."""
    with database.write() as session:
        locked = lock(session, lease.version, lease.upload)
        end_lease(session, lease, seconds, state="ready", not_before=now(), attempts=Unit.attempts - 1)
        give_back(session, locked)


def fail(database: Database, lease: Lease, error: str, *, again: bool, seconds: float = 0.0) -> None:
    """The unit failed: it is tried again after a backoff, or fails its version or upload. Raises LeaseLost."""
    with database.write() as session:
        locked = lock(session, lease.version, lease.upload)
        if lease.endless or (again and lease.attempts < ATTEMPTS):
            backoff = min(BACKOFF * 2 ** min(lease.attempts - 1, 32), LONGEST_BACKOFF)
            end_lease(session, lease, seconds, state="ready", not_before=now() + backoff, error=error)
            give_back(session, locked)
        else:
            fail_whole(session, lease, locked, error, seconds)


def give_back(session: Session, locked: Version | Upload) -> None:
    """A unit is ready again: a version that is being cancelled may be cancelled by it, an upload waits."""
    if isinstance(locked, Version):
        transitions.finish_cancelling(session, locked.id)
    else:
        locked.state = "waiting"


def fail_whole(session: Session, lease: Lease, locked: Version | Upload, error: str, seconds: float = 0.0) -> None:
    """The unit failed for good, and with it its version, unless that is published already, or its upload."""
    end_lease(session, lease, seconds, state="failed", error=error)
    if isinstance(locked, Upload):
        uploads.end(session, locked, error)
        return
    if lease.stage in EVALUATION:
        transitions.leave_unevaluated(session, locked.id, error)
    transitions.stop(session, locked.id, "failed", error)
    transitions.finish_cancelling(session, locked.id)
