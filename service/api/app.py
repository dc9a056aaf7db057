"""The HTTP application: `uvicorn --factory service.api.app:create_app`. It never imports torch."""

from fastapi import FastAPI

import service.catalogue.endpoints as catalogue
import service.datasets.endpoints as datasets
import service.health.endpoints as health
import service.previews.endpoints as previews
import service.samples.endpoints as samples
import service.schedules.endpoints as schedules
import service.sources.endpoints as sources
import service.sources.erasure as erasure
import service.versions.endpoints as versions
import service.webhooks.endpoints as webhooks
from service import tracing
from service.api import problems
from service.api.dependencies import AppContext
from service.api.middleware import RequestMiddleware
from service.broker import open_broker
from service.health import metrics
from service.settings import Settings
from service.state.database import Database
from service.versions import events, files

RESOURCES = (
    datasets, schedules, versions, events, files, samples, sources, erasure, previews, webhooks, catalogue, health, metrics,
)  # fmt: skip


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    database = Database.open(settings.database)
    database.create()
    app = FastAPI(title="Counterpoise", summary="Makes the training images a dataset lacks.", version="1")
    app.state.context = AppContext(settings, database, open_broker(settings.broker_url))
    problems.install(app)
    app.add_middleware(RequestMiddleware, latency=metrics.install(app, database))
    tracing.instrument(app)
    for resource in RESOURCES:
        app.include_router(resource.router)
    return app
