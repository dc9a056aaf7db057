"""The scheduler's loop: sweep the queue of units and fire the schedules that are due; webhooks and the janitor beside it."""

import time
from threading import Thread

import structlog
from prometheus_client import Counter, Gauge

from service import monitor
from service.broker import open_broker, sweep
from service.janitor import clean_forever
from service.schedules.tick import fire_due
from service.settings import Settings
from service.state import transitions
from service.state.database import Database
from service.state.lifecycle import WORKER_KINDS
from service.webhooks.sender import Sender

log = structlog.get_logger()
SWEEPS = Counter("counterpoise_scheduler_sweeps", "Looks for work that nobody was told of.", ["outcome"])
SENT = Counter("counterpoise_scheduler_units_sent", "Messages sent for units that nobody was told of.", ["kind"])
SWEPT = Gauge("counterpoise_scheduler_swept_timestamp_seconds", "When the last sweep went well.")
HANG_SECONDS = 60  # beyond ten sweeps without a turn, after which the scheduler is taken to hang
WEBHOOK_SECONDS = 1.0  # between looks for deliveries


def run_scheduler(settings: Settings, database: Database) -> None:
    """For ever."""
    broker, last_turn = open_broker(settings.broker), time.monotonic()

    def failure() -> str | None:
        silence = time.monotonic() - last_turn
        return f"no turn for {silence:.0f} s" if silence > HANG_SECONDS + 10 * settings.sweep_seconds else None

    for outcome in ("done", "failed"):
        SWEEPS.labels(outcome)
    for kind in WORKER_KINDS:
        SENT.labels(kind)
    monitor.serve(settings.metrics_port, failure)
    sender = Sender(database, settings.private_webhooks)
    Thread(target=sender.run_forever, args=(WEBHOOK_SECONDS,), daemon=True).start()
    if settings.janitor_seconds:
        Thread(target=clean_forever, args=(settings, database), daemon=True).start()
    while True:
        try:
            for kind, count in sweep(broker, database, running_cap=settings.max_running_units).items():
                SENT.labels(kind).inc(count)
            transitions.settle_cancelling(database)
            fire_due(database, settings)
            SWEEPS.labels("done").inc()
            SWEPT.set_to_current_time()
        except Exception as error:  # database or broker are away: they will be back
            SWEEPS.labels("failed").inc()
            log.warning("sweep failed", error=f"{type(error).__name__}: {error}")
        last_turn = time.monotonic()
        time.sleep(settings.sweep_seconds)
