"""The HTTP application: `uvicorn --factory service.api.app:create_app`. It never imports torch."""

from fastapi import FastAPI

import service.catalogue.endpoints as catalogue
import service.datasets.endpoints as datasets
import service.health.endpoints as health
import service.previews.endpoints as previews
import service.samples.endpoints as samples
import service.sources.endpoints as sources
import service.versions.endpoints as versions
import service.webhooks.endpoints as webhooks
from service import tracing
from service.api import problems
from service.api.dependencies import Context
from service.api.middleware import Requests
from service.broker import open_queue
from service.health import metrics
from service.settings import Settings
from service.state.database import Database
from service.versions import events, files


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    database = Database.open(settings.database)
    database.create()
    app = FastAPI(title="Counterpoise", summary="Makes the training images a dataset lacks.", version="1")
    app.state.context = Context(settings, database, open_queue(settings.broker_url))
    problems.install(app)
    app.add_middleware(Requests, latency=metrics.install(app, database))
    tracing.instrument(app)
    for part in (datasets, versions, events, files, samples, sources, previews, webhooks, catalogue, health, metrics):
        app.include_router(part.router)
    return app
