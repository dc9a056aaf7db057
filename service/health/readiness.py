"""Which parts of the service are away: each is tried in a thread of its own, once a second and never twice at once."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import redis
import structlog
from anyio import CapacityLimiter, to_thread
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import select

from pipelines.store.object_store import Patience, Store
from service.settings import Settings
from service.state.database import Database
from service.state.tables import Version

log = structlog.get_logger()
TIMEOUT = 2.0  # seconds for which an answer waits for the checks
MAX_AGE = 1.0  # seconds for which the outcome of a check holds
PATIENCE = Patience(timedelta(seconds=2), timedelta(seconds=4), retries=0, seconds=1)


def check_database(database: Database) -> None:
    with database.read() as session:
        session.execute(select(Version.id).limit(1))


def check_broker(url: str) -> None:
    once = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT, socket_timeout=TIMEOUT, retry=once) as client:
        client.ping()


def check_store(url: str) -> None:
    store = Store.open(url, PATIENCE)
    store.put("healthz", b"ok")
    store.get("healthz")


@dataclass(slots=True)
class Readiness:
    """The checks by name, which raise when a part is away, and the last run of each with the time of its start."""

    checks: dict[str, Callable[[], None]]
    runs: dict[str, tuple["asyncio.Task[str | None]", float]] = field(default_factory=dict)
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(3))

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Readiness":
        return cls(
            {
                "database": partial(check_database, database),
                "broker": partial(check_broker, settings.broker),
                "store": partial(check_store, settings.store),
            }
        )

    async def failures(self) -> dict[str, str | None]:
        """Why a part is away, None for one that can be used; within TIMEOUT."""
        tasks = {name: self.task(name) for name in self.checks}
        await asyncio.wait(tasks.values(), timeout=TIMEOUT)
        return {name: task.result() if task.done() else f"no answer in {TIMEOUT:g} s" for name, task in tasks.items()}

    def task(self, name: str) -> "asyncio.Task[str | None]":
        """The run that is not over, or is young enough; else a new one."""
        clock = time.monotonic()
        if name in self.runs:
            task, start = self.runs[name]
            if not task.done() or clock - start < MAX_AGE:
                return task
        task = asyncio.create_task(self.run(name))
        self.runs[name] = task, clock
        return task

    async def run(self, name: str) -> str | None:
        try:
            await to_thread.run_sync(self.checks[name], limiter=self.threads)
        except Exception as error:
            log.warning(f"the {name} is away", error=f"{type(error).__name__}: {error}")
            return f"{type(error).__name__}: {error}"
        return None
