"""How a version moves from state to state. Every change of state is a compare-and-set in the database."""

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.orm import Session

from service.state import deliveries, events
from service.state.database import Database, clock
from service.state.lifecycle import ENDED, EVALUATION, PUBLISHED, STAGE_OF, STAGES, STATE_OF, Stage, State, next_stage
from service.state.tables import Dataset, Unit, Version, now


def set_state(session: Session, version: Version, state: State) -> bool:
    """Change the state, unless another transaction has changed it meanwhile. An end is put into the webhooks' outbox."""
    changed = session.execute(
        update(Version)
        .where(Version.id == version.id, Version.state == version.state)
        .values(state=state, entered={**version.entered, state: clock(session)})
        .returning(Version.id)
    )
    if changed.one_or_none() is None:
        return False
    events.append(session, version.id, "state", {"state": state})
    if state in ENDED and state != "deleting":
        data = {"dataset": version.dataset, "version": version.number, "state": state, "counts": version.counts}
        deliveries.enqueue(session, version.tenant, f"version.{state}", data)
    session.refresh(version)
    return True


def lock(session: Session, version_id: int) -> Version:
    """A version's row, locked until the transaction ends. Always before rows of its units: so no two wait for each other."""
    return session.get_one(Version, version_id, with_for_update=True)


def add_units(session: Session, version: Version, stage: Stage, count: int) -> None:
    """Put the units of a stage into the queue."""
    unit = {"version_id": version.id, "tenant": version.tenant, "priority": version.priority}
    unit |= {"stage": stage, "not_before": clock(session)}
    rows = [{**unit, "number": number} for number in range(count)]
    session.execute(insert(Unit), rows)


def start(session: Session, version: Version, stage: Stage) -> None:
    """The first unit of a version was leased."""
    if version.state == "queued" and stage == "plan":
        set_state(session, version, "planning")


def advance(session: Session, version_id: int) -> None:
    """When the last unit of a stage is done, put the units of the next stage into the queue. Safe at any time, by anyone."""
    version = lock(session, version_id)
    stage = STAGE_OF.get(version.state)
    if stage is None:
        return
    undone = Unit.version_id == version_id, Unit.state.in_(("ready", "leased", "failed")), Unit.stage == stage
    if session.scalar(select(Unit.id).where(*undone).limit(1)) is not None:
        return
    following = next_stage(stage, version.unit_counts)
    if following is None:
        finish(session, version, stage)
    elif set_state(session, version, STATE_OF[following]):
        add_units(session, version, following, version.unit_counts[following])


def finish(session: Session, version: Version, stage: Stage) -> None:
    """All stages are done: the state is what a report of the last stage gives as `ends`, else completed, and then the
    version is its dataset's latest."""
    reports = session.scalars(select(Unit.report).where(Unit.version_id == version.id, Unit.stage == stage)).all()
    publish(session, version, next((report["ends"] for report in reports if report and "ends" in report), "completed"))


def leave_unevaluated(session: Session, version_id: int, error: str) -> None:
    """The evaluation of a version failed for good. It is published without: a refresh is held, since nothing says that it is
    no worse. To retry it is to evaluate it."""
    version = lock(session, version_id)
    if STAGE_OF.get(version.state) in EVALUATION:
        version.error = f"not evaluated: {error}"
        publish(session, version, "completed" if version.previous is None else "held")


def publish(session: Session, version: Version, state: State) -> None:
    """End a version; a completed one is its dataset's latest. One that was latest unevaluated, and is held now that it is
    evaluated, is so no more."""
    dataset = Dataset.tenant == version.tenant, Dataset.name == version.dataset
    if not set_state(session, version, state):
        return
    if state == "completed":
        older = or_(Dataset.latest.is_(None), Dataset.latest < version.number)
        session.execute(update(Dataset).where(*dataset, older).values(latest=version.number))
    elif row := session.scalar(select(Dataset).where(*dataset, Dataset.latest == version.number).with_for_update()):
        forget_latest(session, row)


def forget_latest(session: Session, dataset: Dataset) -> None:
    """If the latest version is none any more, the newest that completed is."""
    completed = Version.tenant == dataset.tenant, Version.dataset == dataset.name, Version.state == "completed"
    if session.scalar(select(Version.id).where(*completed, Version.number == dataset.latest)) is None:
        dataset.latest = session.scalar(select(func.max(Version.number)).where(*completed))


def stop(session: Session, version_id: int, state: State, error: str | None = None) -> None:
    """End a version that did not complete. Its units stay, and are not available until it is retried."""
    version = lock(session, version_id)
    if version.state not in ENDED and set_state(session, version, state):
        version.error = error


def cancel(database: Database, version_id: int) -> bool:
    """Cancel: at once if no unit is leased, else when their workers have noticed. Cancelling it again is no second state of
    its history. False if the version has ended."""
    with database.write() as session:
        version = session.get(Version, version_id, with_for_update=True)
        if version is None or version.state in ENDED:
            return False
        if version.state != "cancelling":
            stop(session, version_id, "cancelling")
        finish_cancelling(session, version_id)
        return True


def finish_cancelling(session: Session, version_id: int) -> None:
    """A version that is being cancelled is cancelled once no unit of it is leased."""
    if lock(session, version_id).state != "cancelling":
        return
    leased = select(func.count()).where(Unit.version_id == version_id, Unit.state == "leased", Unit.lease_until > now())
    if not session.scalar(leased):
        stop(session, version_id, "cancelled")


def settle_cancelling(database: Database) -> None:
    """Finish the cancelling of versions whose workers died, or did not notice before their leases expired."""
    with database.read() as session:
        cancelling = session.scalars(select(Version.id).where(Version.state == "cancelling")).all()
    for version_id in cancelling:
        with database.write() as session:
            finish_cancelling(session, version_id)


def retry(database: Database, version_id: int) -> bool:
    """Put a failed or cancelled version, or one whose evaluation failed, back where it stopped; False if it is none. Done
    units stay done."""
    with database.write() as session:
        version = session.get(Version, version_id, with_for_update=True)
        if version is None or version.state not in ("failed", "cancelled", *PUBLISHED):
            return False
        units = session.execute(select(Unit.stage, Unit.state).where(Unit.version_id == version_id).distinct()).all()
        undone = [stage for stage in STAGES if any(s == stage and state != "done" for s, state in units)]
        if version.state in PUBLISHED and not undone:
            return False
        last = [stage for stage in STAGES if any(s == stage for s, _ in units)][-1]
        session.execute(
            update(Unit)
            .where(Unit.version_id == version_id, Unit.state != "done")
            .values(state="ready", not_before=now(), lease_until=None, owner=None, attempts=0, error=None)
        )
        version.error = None
        set_state(session, version, STATE_OF[undone[0] if undone else last])
        advance(session, version_id)
        return True
