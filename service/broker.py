"""The queue. A message says only that there may be work of a kind; what it is, the database says.

So no message is worth keeping: lost, late and doubled ones do no harm, and none lives longer than a sweep. Previews alone
are made of what the message says, and answered through the broker: whoever waits for one will ask again.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import redis
from celery import Celery

from service import tracing
from service.state import leases
from service.state.database import Database
from service.state.lifecycle import Stage

Kind = Literal["cpu", "gpu"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND: dict[Stage, Kind] = {"plan": "cpu", "learn": "gpu", "generate": "gpu", "finalize": "cpu", "evaluate": "gpu"}
TASK = "counterpoise.work"
PREVIEW = "counterpoise.preview"
START = 300  # seconds that a worker's process may take to import its libraries: a busy machine needs more than Celery's 4
PATIENCE = 45  # seconds that a preview may take, waiting included
MOST = 32  # messages of a kind that one sweep sends, however long the line


def open_queue(broker_url: str) -> Celery:
    app = Celery("counterpoise", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue="cpu",
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_proc_alive_timeout=START,
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


def ask_preview(queue: Celery, number: str, tenant: str, spec: dict[str, Any], count: int) -> None:
    """Ask any worker for a preview; its answer will lie under `number`."""
    args = number, tenant, spec, count, tracing.origin()
    queue.send_task(PREVIEW, args=args, queue="gpu", expires=PATIENCE, retry=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to previews, kept in the broker until they are fetched, for a minute at most."""

    broker_url: str

    def give(self, number: str, answer: dict[str, Any]) -> None:
        with redis.Redis.from_url(self.broker_url) as client:
            client.lpush(f"preview:{number}", json.dumps(answer))
            client.expire(f"preview:{number}", 60)

    def wait(self, number: str) -> dict[str, Any] | None:
        """The answer, as soon as it is there; None if there is none in time."""
        with redis.Redis.from_url(self.broker_url, socket_timeout=PATIENCE + 5) as client:
            found = cast(tuple[bytes, bytes] | None, client.blpop([f"preview:{number}"], PATIENCE))
        return None if found is None else json.loads(found[1])
