"""Uploads: archives of images in the object store, each read by one unit and then a state of its source.

waiting -> reading -> done, or failed; a worker that gives the unit back, or dies, leaves it to the next
"""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.state.database import Database, clock
from service.state.tables import Unit, Upload

UNREAD = ("waiting", "reading")


def create(database: Database, tenant: str, source: str, *, key: str, size: int, allow_synthetic: bool) -> Upload:
    """Put an archive that lies in the store at `key`, `size` bytes of it, into the queue."""
    with database.write() as session:
        session.expire_on_commit = False
        created = clock(session)
        upload = Upload(
            tenant=tenant,
            source=source,
            key=key,
            size=size,
            allow_synthetic=allow_synthetic,
            created=created,
            state="waiting",
        )
        session.add(upload)
        session.flush()
        session.add(Unit(tenant=tenant, upload_id=upload.id, stage="ingest", number=0, not_before=created))
        return upload


def get(database: Database, upload_id: int) -> Upload | None:
    with database.read() as session:
        return session.get(Upload, upload_id)


def find(database: Database, tenant: str, source: str, upload_id: int) -> Upload | None:
    """An upload of this tenant to this source."""
    upload = get(database, upload_id)
    return upload if upload is not None and (upload.tenant, upload.source) == (tenant, source) else None


def unread(database: Database, tenant: str, source: str | None = None) -> Upload | None:
    """The newest upload to a source, or to any, that is still to be read; None if all are."""
    criteria = [Upload.tenant == tenant, Upload.state.in_(UNREAD), *([Upload.source == source] if source else [])]
    with database.read() as session:
        return session.scalar(select(Upload).where(*criteria).order_by(Upload.id.desc()).limit(1))


def end(session: Session, upload: Upload, error: str) -> None:
    """It failed for good."""
    upload.state, upload.error, upload.ended = "failed", error, clock(session)


def publish(session: Session, upload: Upload, digest: str, make_newest: Callable[[], None]) -> None:
    """It is read: call `make_newest`, unless a later upload to its source is the newest state already.

    The later ones are locked meanwhile, after it, so that of two that end at once the later one wins.
    """
    later = Upload.tenant == upload.tenant, Upload.source == upload.source, Upload.id > upload.id
    states = session.scalars(select(Upload.state).where(*later).order_by(Upload.id).with_for_update()).all()
    if "done" not in states:
        make_newest()
    upload.state, upload.digest, upload.error, upload.ended = "done", digest, None, clock(session)
