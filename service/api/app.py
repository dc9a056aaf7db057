"""The HTTP application: `uvicorn --factory service.api.app:create_app`. It never imports torch."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import service.catalogue.endpoints as catalogue
import service.console.endpoints as console
import service.datasets.endpoints as datasets
import service.health.endpoints as health
import service.keys.endpoints as keys
import service.previews.endpoints as previews
import service.samples.embedding_map as embedding_map
import service.samples.endpoints as samples
import service.samples.verdicts as verdicts
import service.schedules.endpoints as schedules
import service.sources.endpoints as sources
import service.sources.erasure as erasure
import service.sources.inspection as inspection
import service.usage.endpoints as usage
import service.versions.endpoints as versions
import service.webhooks.endpoints as webhooks
from service import monitor, tracing
from service.api import docs, problems
from service.api.dependencies import AppContext
from service.api.guard import Guard
from service.api.middleware import RequestMiddleware
from service.broker import Waker, open_broker
from service.console.sessions import Sessions
from service.health import metrics
from service.health.readiness import Readiness
from service.limits import check_roots
from service.previews.messages import PreviewBroker
from service.settings import Settings
from service.state.database import Database
from service.versions import events, export, files

RESOURCES = (
    datasets, schedules, versions, events, files, export, samples, verdicts, embedding_map, sources, erasure, inspection,
    previews, webhooks, keys, usage, catalogue, health, docs, console,
)  # fmt: skip
DATABASE_PATIENCE = 5.0  # seconds of a statement, and that a writer waits for another


def migrated(url: str) -> None:
    """Bring the database up to date, which may take longer than a request."""
    database = Database.open(url)
    database.create()
    database.engine.dispose()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.context.previews.client.aclose()


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    check_roots(settings)
    migrated(settings.database)
    database, broker = Database.open(settings.database, DATABASE_PATIENCE), open_broker(settings.broker)
    app = FastAPI(
        title="Counterpoise",
        summary="Makes the training images a dataset lacks.",
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    registry, latency = metrics.collect(database)
    app.state.context = AppContext(
        settings,
        database,
        broker,
        Waker(broker),
        Readiness.of(settings, database),
        PreviewBroker(settings.broker),
        registry,
        Sessions(settings.store),
    )
    problems.install(app)
    app.add_middleware(Guard)
    app.add_middleware(RequestMiddleware, latency=latency)  # added last, so outermost
    monitor.serve(settings.metrics_port, lambda: None, registry)
    tracing.instrument(app)
    for resource in RESOURCES:
        app.include_router(resource.router)
    return app
