"""People's verdicts on the samples of a version: kept apart from it, obeyed by the next refresh and by exports."""

from sqlalchemy import delete, func, select

from pipelines.version.verdicts import Decision, HumanVerdict
from service.state.database import Database, clock
from service.state.tables import ApiKey, SampleVerdict

ANYBODY = "anybody"  # who decides where no key is needed


def of_row(row: SampleVerdict) -> HumanVerdict:
    values = {"sample": f"{row.index}-{row.attempt}", "decision": row.decision, "by": row.by, "at": row.at}
    return HumanVerdict.model_validate(values)


def decide(database: Database, version_id: int, index: int, attempt: int, decision: Decision, key_id: int) -> HumanVerdict:
    """Set the verdict on a sample, in place of an earlier one; it is by the key of this id, whose name is kept."""
    with database.write() as session:
        name = session.scalar(select(ApiKey.name).where(ApiKey.id == key_id))
        verdict = SampleVerdict(
            version_id=version_id, index=index, attempt=attempt, decision=decision, by=name or ANYBODY, at=clock(session)
        )
        return of_row(session.merge(verdict))


def undo(database: Database, version_id: int, index: int, attempt: int) -> bool:
    """Whether there was a verdict."""
    of_sample = SampleVerdict.version_id == version_id, SampleVerdict.index == index, SampleVerdict.attempt == attempt
    with database.write() as session:
        return session.scalar(delete(SampleVerdict).where(*of_sample).returning(SampleVerdict.index)) is not None


def of_version(database: Database, version_id: int) -> list[HumanVerdict]:
    """All verdicts on a version's samples, in their order."""
    with database.read() as session:
        query = select(SampleVerdict).where(SampleVerdict.version_id == version_id)
        return [of_row(row) for row in session.scalars(query.order_by(SampleVerdict.index, SampleVerdict.attempt))]


def counts(database: Database, version_id: int) -> dict[str, int]:
    """How many samples of a version are to be kept, and dropped: {"drop": 2}."""
    query = select(SampleVerdict.decision, func.count()).where(SampleVerdict.version_id == version_id)
    with database.read() as session:
        return dict(session.execute(query.group_by(SampleVerdict.decision)).tuples().all())
