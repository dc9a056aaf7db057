"""The HTTP application: `uvicorn --factory service.api.app:create_app`. It never imports torch."""

from fastapi import FastAPI

from service import tracing
from service.api import (
    catalogue,
    datasets,
    events,
    files,
    health,
    metrics,
    previews,
    problems,
    samples,
    sources,
    versions,
    webhooks,
)
from service.api.context import Context
from service.api.requests import Requests
from service.queue import open_queue
from service.settings import Settings
from service.state.database import Database


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
