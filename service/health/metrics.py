"""/metrics for Prometheus: what the database knows of the work, and how long requests took."""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.api.dependencies import Here
from service.broker import KIND
from service.state import leases, versions
from service.state.database import Database

router = APIRouter(tags=["health"])
WINDOW = 900.0  # seconds over which rates are taken
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Work(Collector):
    """Read from the database at each scrape, so that all API processes say the same."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def collect(self) -> Iterable[Metric]:
        units = GaugeMetricFamily("counterpoise_units", "Units of work of versions on their way.", labels=["stage", "state"])
        for (stage, state), count in leases.census(self.database).items():
            units.add_metric([stage, state], count)
        yield units
        lined = GaugeMetricFamily(
            "counterpoise_queue_depth", "Units that a worker could take up now.", labels=["stage", "kind"]
        )
        depth = leases.depth(self.database)
        for stage, kind in KIND.items():
            lined.add_metric([stage, kind], depth.get(stage, 0))
        yield lined
        yield GaugeMetricFamily(
            "counterpoise_queue_age_seconds", "How long the first in line has waited.", leases.longest_wait(self.database)
        )
        states = GaugeMetricFamily("counterpoise_versions", "Versions by state.", labels=["state"])
        for state, count in versions.by_state(self.database).items():
            states.add_metric([state], count)
        yield states
        yield from rates(versions.recent(self.database, WINDOW))


def rates(reports: list[dict[str, float]]) -> Iterable[Metric]:
    """How generation went in the last quarter of an hour."""
    generated, kept, seconds = (sum(report.get(name, 0) for report in reports) for name in ("generated", "kept", "seconds"))
    yield GaugeMetricFamily("counterpoise_images_per_second", "Images generated a second, all workers.", generated / WINDOW)
    if generated:
        yield GaugeMetricFamily("counterpoise_kept_ratio", "Share of the generated images that was kept.", kept / generated)
    if kept:
        yield GaugeMetricFamily("counterpoise_seconds_per_kept_image", "Worker seconds for a kept image.", seconds / kept)


def install(app: FastAPI, database: Database) -> Histogram:
    """Serve these; return that of the requests: by route, so that addresses with names in them count as one."""
    registry = CollectorRegistry()
    registry.register(Work(database))
    app.state.registry = registry
    labels = ["method", "route", "status"]
    return Histogram("counterpoise_request_seconds", "How long requests took.", labels, registry=registry, buckets=BUCKETS)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}, "description": "Metrics."}})
def metrics(_here: Here, request: Request) -> Response:
    """For Prometheus."""
    return Response(generate_latest(request.app.state.registry), media_type=CONTENT_TYPE_LATEST)
