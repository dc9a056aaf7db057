"""The heartbeat of a worker on a unit: it renews the lease, and stops the work when the lease is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError

from pipelines.progress import Stage
from service.state import events, leases
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from workers import metrics

log = structlog.get_logger()


LONGEST_PAUSE = 3.0  # seconds between two renewals: cancelling is noticed by the next


class Stopping(Exception):
    """This process is to end: give the unit back."""


class Heartbeat:
    """Renews a lease in a thread of its own, four times within its duration or more often.

    It is the `Progress` of the work, too: each reported step raises LeaseLost or Stopping when the work must end.
    """

    def __init__(self, database: Database, lease: Lease, seconds: float, stopping: Callable[[], bool]) -> None:
        self.database, self.lease, self.seconds, self.stopping = database, lease, seconds, stopping
        self.lost = threading.Event()
        self.ended = threading.Event()
        self.last_event = 0.0  # when progress was last written down, by the monotonic clock

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=copy_context().run, args=(self.renew,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join()

    def renew(self) -> None:
        """Until the work has ended, or the lease is lost: also when it could not be renewed in time, for whatever reason."""
        renewed = time.monotonic()
        while not (self.lost.is_set() or self.ended.wait(min(self.seconds / 4, LONGEST_PAUSE))):
            try:
                leases.renew(self.database, self.lease, self.seconds)
                renewed = time.monotonic()
            except LeaseLost:
                self.lost.set()
            except Exception as error:
                log.warning("lease not renewed", error=f"{type(error).__name__}: {error}")
                if time.monotonic() - renewed > self.seconds:
                    self.lost.set()

    def check(self) -> None:
        """A step of the work: raises LeaseLost or Stopping when it must end."""
        metrics.step()
        self.end_if_due()

    def end_if_due(self) -> None:
        if self.lost.is_set():
            raise LeaseLost(str(self.lease))
        if self.stopping():
            raise Stopping

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
