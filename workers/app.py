"""The Celery worker: `celery -A workers.app worker -Q cpu,gpu`.

The parent never touches torch: a process that is forked after it has would hang, or find its GPU broken.
"""

import multiprocessing
import os
import socket
import warnings
from typing import TYPE_CHECKING, Any

from celery.signals import setup_logging, worker_process_init, worker_process_shutdown, worker_shutting_down
from celery.utils.log import get_multiprocessing_logger

from service import logs, monitor, tracing
from service.broker import KINDS, PREVIEW, TASK, Answers, Kind, open_queue, wake
from service.settings import Settings
from workers import metrics

if TYPE_CHECKING:
    from workers.unit import Worker

settings = Settings()
queue = open_queue(settings.broker_url)
stopping = multiprocessing.Event()  # set in the parent, seen by its children
worker: "Worker | None" = None
warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")  # it never unpickles


@setup_logging.connect
def speak(**_: Any) -> None:
    """Instead of Celery's own way."""
    logs.begin(settings.log_level)
    get_multiprocessing_logger().propagate = True  # left alone, it writes past ours


@worker_process_init.connect
def begin(**_: Any) -> None:
    global worker
    from pipelines.progress import quiet
    from service.state.database import Database
    from workers.unit import Worker

    quiet()
    tracing.begin("worker")
    name = f"{socket.gethostname()}-{os.getpid()}"
    worker = Worker(settings, Database.open(settings.database), name, stopping.is_set)
    metrics.begin(queue.amqp.queues.consume_from)
    monitor.serve(settings.metrics_port, metrics.ailing)


@worker_process_shutdown.connect
def part(**_: Any) -> None:
    tracing.end()


@worker_shutting_down.connect
def end(**_: Any) -> None:
    stopping.set()


@queue.task(name=TASK)
def work(kind: Kind) -> None:
    """Do one unit of this kind, then look again: there may be more, or the next stage's."""
    assert worker is not None
    if worker.work(kind) and not stopping.is_set():
        for each in KINDS:
            wake(queue, each, settings.sweep_seconds)


@queue.task(name=PREVIEW)
def preview(number: str, tenant: str, spec: dict[str, Any], count: int, origin: dict[str, str]) -> None:
    """Make a preview, and answer whoever waits for it."""
    assert worker is not None
    with tracing.work("preview", origin, tenant=tenant), metrics.at("preview") as ended:
        answer = worker.preview(tenant, spec, count)
        ended("failed" if "error" in answer else "done")
        Answers(settings.broker_url).give(number, answer)
