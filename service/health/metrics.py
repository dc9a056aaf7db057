"""The API's metrics, for Prometheus: the queue of units and the versions, by the database, and how long requests took."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.state import events, queue, versions
from service.state.database import Database
from service.state.lifecycle import WORKER_KIND_OF

WINDOW = 900.0  # seconds over which rates are taken
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class DatabaseCollector(Collector):
    """Reads the database at each scrape, so that all API processes give the same figures."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterable[Metric]:
        units = GaugeMetricFamily("counterpoise_units", "Units of work of versions on their way.", labels=["stage", "state"])
        for (stage, state), count in queue.count_active(self.database).items():
            units.add_metric([stage, state], count)
        yield units
        depth = GaugeMetricFamily(
            "counterpoise_queue_depth", "Units that a worker could take up now.", labels=["stage", "kind"]
        )
        available = queue.depth(self.database)
        for stage, kind in WORKER_KIND_OF.items():
            depth.add_metric([stage, kind], available.get(stage, 0))
        yield depth
        yield GaugeMetricFamily(
            "counterpoise_queue_age_seconds", "How long the first in line has waited.", queue.longest_wait(self.database)
        )
        states = GaugeMetricFamily("counterpoise_versions", "Versions by state.", labels=["state"])
        for state, count in versions.count_by_state(self.database).items():
            states.add_metric([state], count)
        yield states
        yield from rates(events.shard_reports(self.database, WINDOW))


def rates(reports: list[dict[str, float]]) -> Iterable[Metric]:
    """Rates of generation, of keeping and dropping, over WINDOW."""
    generated, kept, seconds = (sum(report.get(name, 0) for report in reports) for name in ("generated", "kept", "seconds"))
    yield GaugeMetricFamily("counterpoise_images_per_second", "Images generated a second, all workers.", generated / WINDOW)
    if generated:
        yield GaugeMetricFamily("counterpoise_kept_ratio", "Share of the generated images that was kept.", kept / generated)
    if kept:
        yield GaugeMetricFamily("counterpoise_seconds_per_kept_image", "Worker seconds for a kept image.", seconds / kept)


def collect(database: Database) -> tuple[CollectorRegistry, Histogram]:
    """All of these; and that of the requests: by route, so that addresses with names in them count as one."""
    registry = CollectorRegistry()
    registry.register(DatabaseCollector(database))
    labels = ["method", "route", "status"]
    latency = Histogram(
        "counterpoise_request_seconds", "How long requests took.", labels, registry=registry, buckets=BUCKETS
    )
    return registry, latency
