"""Faults: each takes something from the world, lasts for as long as its block, and gives it back."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from random import Random

from tests.chaos.world import World

Fault = Callable[[World, Random], AbstractContextManager[None]]
PAIRED = 0.3  # probability that a second fault happens beside the first
LONGEST = 4.0  # seconds that a fault lasts: more than a lease


@contextmanager
def worker_killed(world: World, chance: Random) -> Iterator[None]:
    name = chance.choice(world.worker_names)
    world.kill(name)
    yield
    world.start(name)


@contextmanager
def worker_parent_killed(world: World, chance: Random) -> Iterator[None]:
    """Its child is left alone, and must not go on beside the parent's successor."""
    name = chance.choice(world.worker_names)
    with suppress(ProcessLookupError):
        world.processes[name].kill()
    world.processes[name].wait()
    yield
    world.start(name)


@contextmanager
def worker_child_killed(world: World, chance: Random) -> Iterator[None]:
    """The process that works; its parent starts another."""
    for child in world.children(chance.choice(world.worker_names)):
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    yield


@contextmanager
def worker_terminated(world: World, chance: Random) -> Iterator[None]:
    """As a deployment of a new release does."""
    name = chance.choice(world.worker_names)
    world.processes[name].terminate()
    yield
    world.kill(name)
    world.start(name)


@contextmanager
def worker_frozen(world: World, chance: Random) -> Iterator[None]:
    """For longer than its lease lasts; then it goes on as if nothing had happened."""
    name = chance.choice(world.worker_names)
    world.signal(name, signal.SIGSTOP)
    yield
    time.sleep(world.deployment.settings.lease_seconds)
    world.signal(name, signal.SIGCONT)


@contextmanager
def broker_killed(world: World, _chance: Random) -> Iterator[None]:
    """All messages are lost."""
    world.deployment.broker.terminate()
    yield
    world.deployment.broker.start()


@contextmanager
def broker_flushed(world: World, _chance: Random) -> Iterator[None]:
    with suppress(Exception):  # it may be away by another fault
        world.deployment.broker.client().flushall()  # type: ignore[no-untyped-call]
    yield


@contextmanager
def api_killed(world: World, _chance: Random) -> Iterator[None]:
    world.kill("api")
    yield
    world.start("api")


@contextmanager
def scheduler_killed(world: World, _chance: Random) -> Iterator[None]:
    world.kill("scheduler")
    yield
    world.start("scheduler")


@contextmanager
def scheduler_doubled(world: World, _chance: Random) -> Iterator[None]:
    world.start("scheduler+")
    yield
    world.kill("scheduler+")


@contextmanager
def disk_full(world: World, chance: Random) -> Iterator[None]:
    """No process can write to a file beyond its first bytes, if at all; that are database, local store and logs."""
    names, size = list(world.processes), chance.choice((0, 4096))
    for name in names:
        world.limit_files(name, size)
    yield
    for name in names:
        world.limit_files(name, -1)


@contextmanager
def database_locked(world: World, _chance: Random) -> Iterator[None]:
    """SQLite: a writer holds the lock."""
    lock = sqlite3.connect(world.deployment.folder / "state.db", isolation_level=None, timeout=60)
    lock.execute("BEGIN IMMEDIATE")
    yield
    lock.execute("ROLLBACK")
    lock.close()


@contextmanager
def database_restarted(world: World, _chance: Random) -> Iterator[None]:
    assert world.server is not None
    world.server.restart()
    yield


@contextmanager
def store_failing(world: World, chance: Random) -> Iterator[None]:
    """Some writes fail, or all; half of them after they were done."""
    assert world.proxy is not None
    world.proxy.every = chance.choice((1, 3))
    yield
    world.proxy.every = 0


@contextmanager
def store_slow(world: World, chance: Random) -> Iterator[None]:
    assert world.proxy is not None
    world.proxy.delay = chance.uniform(0.2, 1.0)
    yield
    world.proxy.delay = 0.0


EVERYWHERE: tuple[Fault, ...] = (
    worker_killed, worker_parent_killed, worker_child_killed, worker_terminated, worker_frozen,
    broker_killed, broker_flushed, api_killed, scheduler_killed, scheduler_doubled, disk_full,
)  # fmt: skip


def possible(world: World) -> list[Fault]:
    """The faults that can befall a world, by what it is made of."""
    database = database_locked if world.server is None else database_restarted
    return [*EVERYWHERE, database, *([store_failing, store_slow] if world.proxy else [])]


def draw(world: World, chance: Random) -> tuple[list[Fault], float]:
    """The next fault, or two at once; and for how many seconds."""
    return chance.sample(possible(world), 2 if chance.random() < PAIRED else 1), chance.uniform(0.2, LONGEST)


def inject(world: World, chance: Random, faults: list[Fault], seconds: float) -> None:
    """Let faults happen together for so many seconds; afterwards all is given back."""
    with ExitStack() as stack:
        for fault in faults:
            stack.enter_context(fault(world, chance))
        time.sleep(seconds)
