"""People's verdicts on the samples of a version: kept apart from it, and obeyed by the next refresh."""

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import delete, select

from service.state.database import Database, clock
from service.state.tables import ApiKey, SampleVerdict

Decision = Literal["keep", "drop"]
ANYBODY = "anybody"  # who decides where no key is needed


def decide(database: Database, version_id: int, index: int, attempt: int, decision: Decision, key_id: int) -> SampleVerdict:
    """Set the verdict on a sample, in place of an earlier one; it is by the key of this id, whose name is kept."""
    with database.write() as session:
        session.expire_on_commit = False
        name = session.scalar(select(ApiKey.name).where(ApiKey.id == key_id))
        verdict = SampleVerdict(
            version_id=version_id, index=index, attempt=attempt, decision=decision, by=name or ANYBODY, at=clock(session)
        )
        return session.merge(verdict)


def undo(database: Database, version_id: int, index: int, attempt: int) -> bool:
    """Whether there was a verdict."""
    of_sample = SampleVerdict.version_id == version_id, SampleVerdict.index == index, SampleVerdict.attempt == attempt
    with database.write() as session:
        return session.scalar(delete(SampleVerdict).where(*of_sample).returning(SampleVerdict.index)) is not None


def of_version(database: Database, version_id: int) -> Sequence[SampleVerdict]:
    """All verdicts on a version's samples, in their order."""
    with database.read() as session:
        query = select(SampleVerdict).where(SampleVerdict.version_id == version_id)
        return session.scalars(query.order_by(SampleVerdict.index, SampleVerdict.attempt)).all()
