"""What the scheduler does: it fires schedules, finds work that no worker was told of, and delivers webhooks."""

import time
from threading import Thread

import structlog
from prometheus_client import Counter, Gauge

from service import monitor
from service.broker import KINDS, open_queue, sweep
from service.settings import Settings
from service.state.database import Database
from service.versions.submission import refresh_due
from service.webhooks.delivery import keep_delivering

log = structlog.get_logger()
SWEEPS = Counter("counterpoise_scheduler_sweeps", "Looks for work that nobody was told of.", ["outcome"])
SENT = Counter("counterpoise_scheduler_units_sent", "Units found in line, of which workers were told again.", ["kind"])
SWEPT = Gauge("counterpoise_scheduler_swept_timestamp_seconds", "When the last sweep went well.")
HANGS = 60  # seconds beyond ten sweeps without a turn, after which the scheduler is taken to hang


def schedule(settings: Settings, database: Database) -> None:
    """For ever."""
    queue, turned = open_queue(settings.broker_url), time.monotonic()

    def ailing() -> str | None:
        silent = time.monotonic() - turned
        return f"no turn for {silent:.0f} s" if silent > HANGS + 10 * settings.sweep_seconds else None

    for outcome in ("done", "failed"):
        SWEEPS.labels(outcome)
    for kind in KINDS:
        SENT.labels(kind)
    monitor.serve(settings.metrics_port, ailing)
    Thread(target=keep_delivering, args=(database, settings.private_webhooks, 1.0), daemon=True).start()
    while True:
        try:
            for kind, count in sweep(queue, database, settings.sweep_seconds).items():
                SENT.labels(kind).inc(count)
            refresh_due(database, settings)
            SWEEPS.labels("done").inc()
            SWEPT.set_to_current_time()
        except Exception as error:  # database or broker are away: they will be back
            SWEEPS.labels("failed").inc()
            log.warning("sweep failed", error=f"{type(error).__name__}: {error}")
        turned = time.monotonic()
        time.sleep(settings.sweep_seconds)
