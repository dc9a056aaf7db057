"""The heartbeat of a worker on a unit: it renews the lease while the work makes steps, and ends work that must end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError

from pipelines.errors import CounterpoiseError
from pipelines.progress import Stage, watched
from service.state import events, leases
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from workers import metrics

log = structlog.get_logger()


LONGEST_PAUSE = 3.0  # seconds between two renewals: cancelling is noticed by the next


class Stopping(Exception):
    """This process is to end: give the unit back."""


class UnitOverdue(CounterpoiseError):
    """A unit runs for longer than an operator allows."""


class Heartbeat:
    """Renews a lease in a thread of its own, four times within its duration or more often, while the work makes steps.

    It watches the steps, and is the `Progress` of the work, too: each step raises LeaseLost, Stopping or UnitOverdue when
    the work must end. A process that was frozen for longer than its lease asks at its first step whether it still has it.
    """

    def __init__(
        self, database: Database, lease: Lease, seconds: float, stopping: Callable[[], bool], longest: float = float("inf")
    ) -> None:
        """`longest` is how many seconds the unit may take."""
        self.database, self.lease, self.seconds, self.stopping, self.longest = database, lease, seconds, stopping, longest
        self.lost = threading.Event()
        self.ended = threading.Event()
        self.last_event = 0.0  # when progress was last written down, by the monotonic clock, as all of these
        self.began = self.renewed = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=copy_context().run, args=(self.keep_renewing,), daemon=True)
        thread.start()
        try:
            with watched(self.check, self.end_if_due):
                yield
        finally:
            self.ended.set()
            thread.join()

    def keep_renewing(self) -> None:
        """Until the work has ended, or the lease is lost. Work that makes no step keeps it no longer: another worker may do
        better."""
        while not (self.lost.is_set() or self.ended.wait(min(self.seconds / 4, LONGEST_PAUSE))):
            if metrics.silence() <= metrics.HANG_SECONDS:
                self.renew()

    def renew(self) -> None:
        """Once. The lease is lost, too, when it could not be renewed in time, for whatever reason."""
        began = time.monotonic()
        try:
            leases.renew(self.database, self.lease, self.seconds)
            self.renewed = began
        except LeaseLost:
            self.lost.set()
        except Exception as error:
            log.warning("lease not renewed", error=f"{type(error).__name__}: {error}")
            if time.monotonic() - self.renewed > self.seconds:
                self.lost.set()

    def check(self) -> None:
        """A step of the work. It is cheap: the database is asked only after a pause that was longer than the lease. Raises
        LeaseLost, Stopping or UnitOverdue when the work must end."""
        metrics.step()
        if time.monotonic() - self.renewed > self.seconds:
            self.renew()
        self.end_if_due()

    def end_if_due(self) -> None:
        """The same, of what makes no step: waiting for another process."""
        if self.lost.is_set():
            raise LeaseLost(str(self.lease))
        if self.stopping():
            raise Stopping
        if time.monotonic() - self.began > self.longest:
            raise UnitOverdue(
                f"{self.lease}: runs for longer than COUNTERPOISE_UNIT_SECONDS, {self.longest:.0f} s; give a smaller "
                "shard_size or fewer steps, or ask the operator for more time, and retry"
            )

    def stage(self, name: str, total: int) -> Stage:
        """Progress of a stage as events of the version, one a second at most."""
        completed = 0

        def advance(done: int) -> None:
            nonlocal completed
            completed += done
            self.check()
            if done and (time.monotonic() - self.last_event >= 1 or completed == total):
                self.last_event = time.monotonic()
                self.append_event({"stage": name, "done": completed, "total": total})

        return advance

    def append_event(self, data: dict[str, Any]) -> None:
        if self.lease.version is None:  # an upload has no events
            return
        try:
            with self.database.write() as session:
                events.append(session, self.lease.version, "progress", data)
        except OperationalError as error:  # progress that cannot be written down fails no work
            log.warning("progress not written", error=str(error.orig))

    def say(self, text: str) -> None:
        """A message, as an event of the version."""
        self.append_event({"message": text})
