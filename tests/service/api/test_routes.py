"""Where endpoints run: a pool of threads for each kind of waiting."""

import threading
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from service.api.app import RESOURCES, console
from service.api.pools import Pool
from service.api.routes import Route
from service.console.pages import PageRoute


def test_every_route_with_a_key_is_one_of_ours() -> None:
    """A plain one would run in the threads that everything shares."""
    resources = [resource for resource in RESOURCES if resource is not console]
    routes = [route for resource in resources for route in resource.router.routes]
    assert len(routes) > 25
    assert {type(route) for route in routes if getattr(route, "path", "") != "/docs"} == {Route}
    pages = [route for page in console.PAGES for route in page.router.routes]
    assert len(pages) > 20
    assert {type(route) for route in pages} == {PageRoute}


def test_an_endpoint_keeps_its_parameters_and_its_description(client: TestClient) -> None:
    app: Any = client.app
    assert isinstance(app, FastAPI)
    (schema,) = (item["get"] for path, item in app.openapi()["paths"].items() if path == "/v1/versions")
    assert {parameter["name"] for parameter in schema["parameters"]} == {"dataset", "state", "cursor", "limit"}
    assert schema["description"] == "The newest versions first."
    assert schema["security"] == [{"HTTPBearer": []}]
    assert APIRoute in Route.__mro__


def test_a_pool_refuses_who_would_wait_too_long() -> None:
    async def crowd() -> list[object]:
        pool, release, outcomes = Pool("parts", 2, 3), threading.Event(), list[object]()

        async def call() -> None:
            try:
                outcomes.append(await pool.run(release.wait, 10))
            except HTTPException as error:
                outcomes.append((error.status_code, error.detail, error.headers))

        async with anyio.create_task_group() as group:
            for _ in range(9):
                group.start_soon(call)
            await anyio.sleep(0.2)
            refused = list(outcomes)
            release.set()
        assert outcomes[len(refused) :] == [True] * 5
        return refused

    told = (503, "too many requests wait for the parts; try again later", {"Retry-After": "2"})
    assert anyio.run(crowd) == [told] * 4


def test_who_waits_is_refused_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.pools.PATIENCE", 0.1)

    async def crowd() -> None:
        pool, release = Pool("parts", 1, 3), threading.Event()
        async with anyio.create_task_group() as group:
            group.start_soon(pool.run, release.wait, 10)
            await anyio.sleep(0.05)
            with pytest.raises(HTTPException, match="503"):
                await pool.run(release.wait, 10)
            release.set()
        assert await pool.run(lambda: 7) == 7

    anyio.run(crowd)
