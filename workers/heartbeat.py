"""The sign of life of whoever works on a unit, and how they learn that they should stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError

from pipelines.progress import Stage
from service.state import leases, versions
from service.state.database import Database
from service.state.leases import Lease, LeaseLost
from workers import metrics

log = structlog.get_logger()


class Stopping(Exception):
    """This process was asked to end: give the unit back."""


class Pulse:
    """Renews a lease in the background. Progress made under it raises LeaseLost or Stopping as soon as it should end."""

    def __init__(self, database: Database, lease: Lease, seconds: float, stopping: Callable[[], bool]) -> None:
        self.database, self.lease, self.seconds, self.stopping = database, lease, seconds, stopping
        self.lost = threading.Event()
        self.over = threading.Event()
        self.told = 0.0

    @contextmanager
    def beating(self) -> Iterator[None]:
        thread = threading.Thread(target=copy_context().run, args=(self.beat,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()

    def beat(self) -> None:
        heard = time.monotonic()
        while not self.over.wait(self.seconds / 4):
            try:
                leases.renew(self.database, self.lease, self.seconds)
                heard = time.monotonic()
            except LeaseLost:
                self.lost.set()
            except OperationalError as error:
                log.warning("lease not renewed", error=str(error.orig))
                if time.monotonic() - heard > self.seconds:
                    self.lost.set()

    def check(self) -> None:
        metrics.step()
        if self.lost.is_set():
            raise LeaseLost(f"{self.lease.stage} {self.lease.number}")
        if self.stopping():
            raise Stopping

    def stage(self, name: str, total: int) -> Stage:
        """Progress for whoever watches the version, told once a second at most."""
        so_far = 0

        def advanced(done: int) -> None:
            nonlocal so_far
            so_far += done
            self.check()
            if done and (time.monotonic() - self.told >= 1 or so_far == total):
                self.told = time.monotonic()
                self.tell({"stage": name, "done": so_far, "total": total})

        return advanced

    def tell(self, data: dict[str, Any]) -> None:
        try:
            with self.database.write() as session:
                versions.note(session, self.lease.version, "progress", data)
        except OperationalError as error:  # nobody's work fails because nobody could be told of it
            log.warning("progress not told", error=str(error.orig))

    def say(self, text: str) -> None:
        self.tell({"said": text})
