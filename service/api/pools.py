"""Threads for what blocks, a pool for each kind of waiting: a store that hangs takes none of the database's."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.exceptions import HTTPException

P = ParamSpec("P")
T = TypeVar("T")
PATIENCE = 5.0  # seconds that a call waits for a thread
STREAM_PATIENCE = 300.0  # the same, in the middle of an answer, which would break
RETRY_AFTER = {"Retry-After": "2"}


@dataclass(slots=True)
class Pool:
    """At most `threads` calls at a time, and `queue` that wait for a thread."""

    name: str
    threads: int
    queue: int
    patience: float = PATIENCE
    slots: CapacityLimiter = field(init=False)
    unlimited: CapacityLimiter = field(init=False)  # in place of anyio's own limit, of 40 threads for everything

    def __post_init__(self) -> None:
        self.slots, self.unlimited = CapacityLimiter(self.threads), CapacityLimiter(math.inf)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call in one of the threads. Raises 503 when too many wait for them, or for too long."""
        if self.slots.statistics().tasks_waiting >= self.queue:
            raise self.busy()
        borrower = object()
        with move_on_after(self.patience) as waiting:
            await self.slots.acquire_on_behalf_of(borrower)
        if waiting.cancelled_caught:
            raise self.busy()
        try:
            return await to_thread.run_sync(partial(call, *args, **kwargs), limiter=self.unlimited)
        finally:
            self.slots.release_on_behalf_of(borrower)

    def busy(self) -> HTTPException:
        return HTTPException(503, f"too many requests wait for the {self.name}; try again later", RETRY_AFTER)


@dataclass(frozen=True, slots=True)
class Pools:
    """`database`: as many as connections of the engine. `streams`: those who follow versions, and poll for them.
    `exports`: a piece of a tar each. `sources`: real images, each read by itself."""

    database: Pool = field(default_factory=lambda: Pool("database", 15, 120))
    streams: Pool = field(default_factory=lambda: Pool("database", 4, 1000))
    exports: Pool = field(default_factory=lambda: Pool("object store", 4, 1000, STREAM_PATIENCE))
    store: Pool = field(default_factory=lambda: Pool("object store", 16, 64))
    sources: Pool = field(default_factory=lambda: Pool("source", 2, 64))
    broker: Pool = field(default_factory=lambda: Pool("broker", 4, 16))
