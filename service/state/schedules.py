"""Schedules in the database. What happens at a tick: `service/schedules/tick.py`.

A tick is fired by a compare-and-set on the schedule's `next_tick`, in the transaction that creates the version: so it fires
once, however many schedulers run, and a tick that none of them fired in time fires late, once.
"""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.caps import NO_CAPS, Caps
from service.schedules.cron import next_tick
from service.state.database import Database, clock
from service.state.datasets import lock
from service.state.tables import Schedule, now
from service.state.versions import insert_version, running


def put(
    database: Database, tenant: str, dataset: str, *, cron: str, time_zone: str, spec: dict[str, Any], enabled: bool,
    busy: str,
) -> Schedule:  # fmt: skip
    """Set a dataset's schedule in place of the one it has. Raises SpecError."""
    with database.write() as session:
        session.expire_on_commit = False
        lock(session, tenant, dataset)
        tick = next_tick(cron, time_zone, clock(session))
        row = session.merge(
            Schedule(
                tenant=tenant,
                dataset=dataset,
                cron=cron,
                time_zone=time_zone,
                spec=spec,
                busy=busy,
                next_tick=tick if enabled else None,
            )
        )
        session.flush()
        session.refresh(row)
        return row


def find(database: Database, tenant: str, dataset: str) -> Schedule | None:
    with database.read() as session:
        return session.get(Schedule, (tenant, dataset))


def remove(database: Database, tenant: str, dataset: str) -> bool:
    """Whether there was one."""
    with database.write() as session:
        row = session.get(Schedule, (tenant, dataset))
        if row is not None:
            session.delete(row)
        return row is not None


def due(database: Database) -> list[Schedule]:
    """Schedules whose next tick has come, the earliest tick first."""
    with database.read() as session:
        return list(session.scalars(select(Schedule).where(Schedule.next_tick <= now()).order_by(Schedule.next_tick)))


def fire(database: Database, schedule: Schedule, spec: dict[str, Any], caps: Caps = NO_CAPS) -> bool:
    """Create the version of a tick. False if another scheduler was first, or a version of the dataset has not ended:
    then the tick is skipped or, if `busy` is "queue", stays due until that version has ended. Raises CapReached."""
    with database.write() as session:
        dataset = lock(session, schedule.tenant, schedule.dataset)
        number = running(session, schedule.tenant, schedule.dataset)
        if (number and schedule.busy == "queue") or not advance(session, schedule):
            return False
        if number:
            record(session, schedule, f"skipped: version {number} was on its way")
            return False
        insert_version(session, schedule.tenant, schedule.dataset, spec, refresh=True, caps=caps)
        record(session, schedule, f"version {dataset.last} was asked for")
        return True


def skip(database: Database, schedule: Schedule, reason: str) -> None:
    """Go on to the next tick, and record why this one was not fired."""
    with database.write() as session:
        if advance(session, schedule):
            record(session, schedule, reason)


def advance(session: Session, schedule: Schedule) -> bool:
    """Compare-and-set of `next_tick` to the first tick after now; False if another scheduler has set it."""
    tick = next_tick(schedule.cron, schedule.time_zone, clock(session))
    unchanged = *row_of(schedule), Schedule.next_tick == schedule.next_tick
    advanced = update(Schedule).where(*unchanged).values(next_tick=tick).returning(Schedule.next_tick)
    return session.scalar(advanced) is not None


def record(session: Session, schedule: Schedule, outcome: str) -> None:
    session.execute(update(Schedule).where(*row_of(schedule)).values(fired=clock(session), outcome=outcome))


def row_of(schedule: Schedule) -> tuple[Any, ...]:
    return Schedule.tenant == schedule.tenant, Schedule.dataset == schedule.dataset
