"""The broker carries messages that make a worker look; which unit it takes, `service/state/queue.py` decides.

So no message is worth keeping: lost, late and doubled ones do no harm. And few are kept: as many for a kind of worker as
there are units for it, at most MESSAGES, however long nobody reads them.
"""

import contextlib
from queue import Full, Queue
from threading import Thread

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from service.state import queue
from service.state.database import Database
from service.state.lifecycle import WORKER_KINDS, WorkerKind, stages_of

LOOK = "counterpoise.look"  # the task
PREVIEWS = "preview"  # the queue of previews, beside those of the kinds of work
CONNECT_SECONDS, ANSWER_SECONDS = 2, 4  # that a broker may take; a worker waits for messages a second at a time
UNSENT = 64  # messages of the API that wait for a broker that does not answer; what is more, the scheduler sends later
WORKER_START = 300  # seconds for a worker's process to import its libraries: a busy machine needs more than Celery's 4
MESSAGES = 32  # to a kind of worker that wait in the broker at most, however long the queue of units


log = structlog.get_logger()
TRANSPORT = {
    "socket_keepalive": True,
    "socket_connect_timeout": CONNECT_SECONDS,
    "socket_timeout": ANSWER_SECONDS,
    "retry_on_timeout": False,
}


def open_broker(broker_url: str) -> Celery:
    app = Celery("counterpoise", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue="cpu",
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_proc_alive_timeout=WORKER_START,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=CONNECT_SECONDS,
        broker_transport_options=TRANSPORT,
        worker_hijack_root_logger=False,
    )
    return app


def wake(broker: Celery, kind: WorkerKind, units: int = 1) -> int:
    """Let as many messages wait for workers of a kind as there are units, at most MESSAGES, those that wait already
    included; return how many were sent."""
    if not units:
        return 0
    with broker.producer_or_acquire() as producer:
        waiting: int = producer.channel.queue_declare(queue=kind).message_count
        missing = max(0, min(units, MESSAGES) - waiting)
        for _ in range(missing):
            broker.send_task(LOOK, args=(kind,), queue=kind, producer=producer, retry=False)
    return missing


def sweep(broker: Celery, database: Database, *, running_cap: int = 0) -> dict[WorkerKind, int]:
    """Wake a worker for each available unit; return how many messages were sent. Safe to run anywhere, by several."""
    counts = {}
    for kind in WORKER_KINDS:
        units = queue.next_units(database, stages_of(kind), MESSAGES, running_cap)
        counts[kind] = wake(broker, kind, len(units))
    return counts


class Waker:
    """Wakes workers from a thread of its own, so that no request waits for the broker."""

    def __init__(self, broker: Celery) -> None:
        self.broker = broker
        self.kinds: Queue[WorkerKind] = Queue(UNSENT)
        Thread(target=self.send_forever, daemon=True).start()

    def wake(self, kind: WorkerKind) -> None:
        """Make a worker of a kind look for a unit, soon. What cannot be sent is lost: the unit is in the database."""
        with contextlib.suppress(Full):
            self.kinds.put_nowait(kind)

    def send_forever(self) -> None:
        while True:
            kind = self.kinds.get()
            try:
                wake(self.broker, kind)
            except (OperationalError, RedisError, OSError) as error:
                log.warning("no worker woken: the broker is away", error=f"{type(error).__name__}: {error}")
