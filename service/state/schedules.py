"""Schedules: when datasets are refreshed by themselves.

A tick is fired by whoever moves the schedule's `due` on, in the transaction in which the version is asked for: so it fires
once, however many schedulers look, and one that nobody saw in time fires late, once.
"""

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.schedules.cron import following
from service.state.database import Database
from service.state.tables import Schedule, now
from service.state.versions import ask, clock, locked, on_its_way


def put(
    database: Database, tenant: str, dataset: str, *, cron: str, time_zone: str, spec: dict[str, Any], enabled: bool,
    busy: str,
) -> Schedule:  # fmt: skip
    """Set a dataset's schedule in place of the one it has. Raises SpecError."""
    with database.write() as session:
        session.expire_on_commit = False
        locked(session, tenant, dataset)
        due = following(cron, time_zone, clock(session))
        made = session.merge(
            Schedule(
                tenant=tenant,
                dataset=dataset,
                cron=cron,
                time_zone=time_zone,
                spec=spec,
                busy=busy,
                due=due if enabled else None,
            )
        )
        session.flush()
        session.refresh(made)
        return made


def find(database: Database, tenant: str, dataset: str) -> Schedule | None:
    with database.read() as session:
        return session.get(Schedule, (tenant, dataset))


def remove(database: Database, tenant: str, dataset: str) -> bool:
    """Whether there was one."""
    with database.write() as session:
        found = session.get(Schedule, (tenant, dataset))
        if found is not None:
            session.delete(found)
        return found is not None


def due(database: Database) -> list[Schedule]:
    """Those whose tick has come, the longest due first."""
    with database.read() as session:
        return list(session.scalars(select(Schedule).where(Schedule.due <= now()).order_by(Schedule.due)))


def fire(database: Database, schedule: Schedule, spec: dict[str, Any]) -> bool:
    """Ask for the refresh that a schedule is due for. False if another scheduler was first, or a version is on its way:
    then the tick is skipped, or stays due until that one has ended."""
    with database.write() as session:
        row = locked(session, schedule.tenant, schedule.dataset)
        busy = on_its_way(session, schedule.tenant, schedule.dataset)
        if (busy and schedule.busy == "queue") or not claimed(session, schedule):
            return False
        if busy:
            say(session, schedule, f"skipped: version {busy} was on its way")
            return False
        ask(session, schedule.tenant, schedule.dataset, spec, refresh=True)
        say(session, schedule, f"version {row.last} was asked for")
        return True


def give_up(database: Database, schedule: Schedule, error: str) -> None:
    """A tick that cannot be fired: say why, and wait for the next."""
    with database.write() as session:
        if claimed(session, schedule):
            say(session, schedule, error)


def claimed(session: Session, schedule: Schedule) -> bool:
    """Move the schedule on to its next tick, unless somebody else has."""
    at = clock(session)
    its = Schedule.tenant == schedule.tenant, Schedule.dataset == schedule.dataset, Schedule.due == schedule.due
    moved = update(Schedule).where(*its).values(due=following(schedule.cron, schedule.time_zone, at)).returning(Schedule.due)
    return session.scalar(moved) is not None


def say(session: Session, schedule: Schedule, said: str) -> None:
    its = Schedule.tenant == schedule.tenant, Schedule.dataset == schedule.dataset
    session.execute(update(Schedule).where(*its).values(fired=clock(session), said=said))
