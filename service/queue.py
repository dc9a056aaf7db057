"""The queue. A message says only that there may be work of a kind; what it is, the database says.

So no message is worth keeping: lost, late and doubled ones do no harm, and none lives longer than a sweep.
"""

from typing import Literal, get_args

from celery import Celery

from service.state import leases
from service.state.database import Database
from service.state.flow import Stage

Kind = Literal["cpu", "gpu"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND: dict[Stage, Kind] = {"plan": "cpu", "learn": "gpu", "generate": "gpu", "finalize": "cpu", "evaluate": "gpu"}
TASK = "counterpoise.work"
MOST = 32  # messages of a kind that one sweep sends, however long the line


def open_queue(broker_url: str) -> Celery:
    app = Celery("counterpoise", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue="cpu",
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_keepalive": True, "retry_on_timeout": True},
        worker_hijack_root_logger=False,
    )
    return app


def stages(kind: Kind) -> list[Stage]:
    return [stage for stage, its in KIND.items() if its == kind]


def wake(queue: Celery, kind: Kind, seconds: float) -> None:
    """Tell one worker to look. Unread after so many seconds, the message is void."""
    queue.send_task(TASK, args=(kind,), queue=kind, expires=seconds, retry=False)


def sweep(queue: Celery, database: Database, seconds: float) -> dict[Kind, int]:
    """Wake a worker for each unit in line, up to MOST of a kind; return how many. Safe to run anywhere, by several."""
    sent = {kind: len(leases.in_line(database, stages(kind), MOST)) for kind in KINDS}
    for kind, count in sent.items():
        for _ in range(count):
            wake(queue, kind, seconds)
    return sent
