"""What a tenant has: versions, units that are worked on, bytes, and the workers' time that they took."""

from dataclasses import dataclass

from sqlalchemy import func, select

from service.state.database import Database
from service.state.lifecycle import ENDED
from service.state.tables import Unit, Version, Webhook, now


@dataclass(frozen=True, slots=True)
class Usage:
    versions: int  # all of them
    versions_in_flight: int  # that have not ended
    running_units: int
    bytes_stored: int  # of published versions
    webhooks: int
    cpu_seconds: float  # of workers, on the units of its versions that have ended
    gpu_seconds: float


def usage(database: Database, tenant: str) -> Usage:
    own = Version.tenant == tenant
    running = Unit.tenant == tenant, Unit.state == "leased", Unit.lease_until > now()
    counts = (
        select(func.count()).where(own),
        select(func.count()).where(own, ~Version.state.in_(ENDED)),
        select(func.count()).where(*running),
        select(func.sum(Version.size)).where(own),
        select(func.count()).where(Webhook.tenant == tenant),
    )
    with database.read() as session:
        versions, in_flight, running_units, size, webhooks = (int(session.scalar(query) or 0) for query in counts)
        cpu, gpu = (
            float(session.scalar(select(func.sum(column)).where(own)) or 0)
            for column in (Version.cpu_seconds, Version.gpu_seconds)
        )
    return Usage(versions, in_flight, running_units, size, webhooks, cpu, gpu)
