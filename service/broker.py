"""The broker carries messages that make a worker look; which unit it takes, `service/state/queue.py` decides.

So no message is worth keeping: lost, late and doubled ones do no harm, and none lives longer than a sweep.
"""

from celery import Celery

from service.state import queue
from service.state.database import Database
from service.state.lifecycle import WORKER_KINDS, WorkerKind, stages_of

LOOK = "counterpoise.look"  # the task
WORKER_START = 300  # seconds for a worker's process to import its libraries: a busy machine needs more than Celery's 4
SWEEP_LIMIT = 32  # messages to a kind of worker that one sweep sends, however long the queue of units


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
        broker_transport_options={"socket_keepalive": True, "retry_on_timeout": True},
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
