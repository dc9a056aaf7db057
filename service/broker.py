"""The broker carries messages that make a worker look; which unit it takes, `service/state/queue.py` decides.

So no message is worth keeping: lost, late and doubled ones do no harm, and none lives longer than a sweep.
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
SWEEP_LIMIT = 32  # messages to a kind of worker that one sweep sends, however long the queue of units


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


def send_look(broker: Celery, kind: WorkerKind, seconds: float) -> None:
    """Make one worker of a kind look for a unit. Unread after so many seconds, the message expires."""
    broker.send_task(LOOK, args=(kind,), queue=kind, expires=seconds, retry=False)


def sweep(broker: Celery, database: Database, seconds: float) -> dict[WorkerKind, int]:
    """Send a message for each available unit, at most SWEEP_LIMIT to a kind of worker; return how many. Safe to run
    anywhere, by several."""
    counts = {kind: len(queue.next_units(database, stages_of(kind), SWEEP_LIMIT)) for kind in WORKER_KINDS}
    for kind, count in counts.items():
        for _ in range(count):
            send_look(broker, kind, seconds)
    return counts


class Waker:
    """Wakes workers from a thread of its own, so that no request waits for the broker."""

    def __init__(self, broker: Celery, seconds: float) -> None:
        self.broker, self.seconds = broker, seconds
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
                send_look(self.broker, kind, self.seconds)
            except (OperationalError, RedisError, OSError) as error:
                log.warning("no worker woken: the broker is away", error=f"{type(error).__name__}: {error}")
