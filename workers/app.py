"""The Celery worker: `celery -A workers.app worker -Q cpu,gpu`.

The parent never touches torch: a process that is forked after it has would hang, or find its GPU broken.
"""

import multiprocessing
import os
import secrets
import socket
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from celery.signals import setup_logging, worker_process_init, worker_process_shutdown, worker_shutting_down
from celery.utils.log import get_multiprocessing_logger

from pipelines.parallel import permanent
from service import logs, monitor, tracing
from service.broker import LOOK, PREVIEWS, open_broker, sweep
from service.previews.messages import FORECAST_SECONDS, INSPECTION, PREVIEW, WORK_SECONDS, PreviewAnswers
from service.settings import Settings
from service.state.lifecycle import WorkerKind
from workers import metrics

if TYPE_CHECKING:
    from workers.unit import Worker

settings = Settings()
app = open_broker(settings.broker)
stopping = multiprocessing.Event()  # set in the parent, read by its children
worker: "Worker | None" = None
warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")  # it never unpickles


@setup_logging.connect
def configure_logging(**_: Any) -> None:
    """In place of Celery's own configuration."""
    logs.configure(settings.log_level)
    get_multiprocessing_logger().propagate = True  # left alone, it writes past our handler


@worker_process_init.connect
def start_process(**_: Any) -> None:
    global worker
    with permanent():
        from pipelines.progress import quiet

        quiet()  # first: the libraries talk while they are imported
        from service.state.database import Database
        from workers.unit import Worker

        import_module("workers.preview")  # now, so that the first preview does not wait for it
    tracing.begin("worker")
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"  # a container that starts anew has the same ones
    worker = Worker(settings, Database.open(settings.database), name, stopping.is_set)
    metrics.initialize(kind for kind in app.amqp.queues.consume_from if kind != PREVIEWS)
    monitor.serve(settings.metrics_port, metrics.failure)


@worker_process_shutdown.connect
def end_process(**_: Any) -> None:
    tracing.end()


@worker_shutting_down.connect
def shut_down(**_: Any) -> None:
    stopping.set()


@app.task(name=LOOK)
def look(kind: WorkerKind) -> None:
    """Run one unit that a worker of this kind may take, then wake whoever has work now: there may be more, or the next
    stage's. A worker that has found nothing looks again when a message comes, and not before."""
    assert worker is not None
    if worker.run_next(kind) and not stopping.is_set():
        sweep(app, worker.database, running_cap=settings.max_running_units)


@app.task(name=PREVIEW)
def preview(
    preview_id: str, tenant: str, spec: dict[str, Any], count: int, origin: dict[str, str], forecasts: bool = False
) -> None:
    """Make a preview, with a forecast or without, and put its answer where the API looks for it."""
    from workers.preview import answer_preview

    with tracing.span("preview", origin, tenant=tenant), metrics.measure("preview") as count_outcome:
        answers = PreviewAnswers(settings.broker)
        answers.begin(tenant, preview_id, FORECAST_SECONDS if forecasts else WORK_SECONDS)
        answer = answer_preview(settings, tenant, spec, count, forecasts=forecasts)
        count_outcome("failed" if "error" in answer else "done")
        answers.put(tenant, preview_id, answer)


@app.task(name=INSPECTION)
def inspection(inspection_id: str, tenant: str, source: str, digest: str, origin: dict[str, str]) -> None:
    """Inspect a source, and say where the API looks for it that it is done."""
    from workers.inspection import answer_inspection

    with tracing.span("inspection", origin, tenant=tenant), metrics.measure("inspection") as count_outcome:
        answers = PreviewAnswers(settings.broker)
        answers.begin(tenant, inspection_id)
        answer = answer_inspection(settings, tenant, source, digest)
        count_outcome("failed" if "error" in answer else "done")
        answers.put(tenant, inspection_id, answer)
