"""Caps of a tenant: what is refused, with which remedy, and what is not. Costs 15 s, half of it the start of PostgreSQL."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.caps import CapReached, Caps, TokenBuckets
from service.settings import Settings
from service.state import deletions, leases, queue, transitions, versions
from service.state.database import Database
from service.state.tables import ApiKey
from service.transport import transient
from tests.servers import free_port
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem


def limited(client: TestClient, **limits: Any) -> None:
    """Limits of every key that there is."""
    with context(client).database.write() as session:
        session.execute(update(ApiKey).values(limits=limits))


def until(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_keys_own_limits_take_the_place_of_the_settings() -> None:
    caps = Caps.of(Settings(max_streams=7), {"webhooks": 3, "versions_in_flight": 0, "streams": None, "priority": 5})
    assert (caps.webhooks, caps.versions_in_flight, caps.streams) == (3, 0, 7)


def test_versions_in_flight_are_capped_and_a_repeated_request_is_not_refused(client: TestClient) -> None:
    operated(client, max_versions_in_flight=2)
    once = {"Idempotency-Key": "monday"}
    client.post(SHOES, json=SPEC)
    first = client.post(SHOES, json=SPEC, headers=once)
    detail = problem(client.post(SHOES, json=SPEC), 429)["detail"]
    assert detail.startswith("2 versions are on their way, of 2 that you may have; wait for one of them, or cancel it")
    assert client.post(SHOES, json=SPEC, headers=once).json() == first.json()
    assert client.post(SHOES, json=SPEC, headers=as_(client, "others")).status_code == 202
    client.post(f"{SHOES}/1/cancel")
    assert client.post(SHOES, json=SPEC).json()["number"] == 3
    limited(client, versions_in_flight=3, priority=4)
    created = client.post(SHOES, json=SPEC)
    assert created.status_code == 202
    version = versions.find(context(client).database, "team", "shoes", created.json()["number"])
    assert version is not None
    assert version.priority == 4


def test_of_many_requests_at_once_no_more_are_taken_than_the_cap(database: Database) -> None:
    gate = threading.Barrier(8)

    def create(number: int) -> bool:
        gate.wait(30)
        try:
            versions.create(database, "team", f"set-{number}", {}, caps=Caps(versions_in_flight=3))
        except CapReached:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(8))) == 3


def test_a_finalized_version_has_its_size_and_beyond_the_cap_nothing_is_taken_in(client: TestClient) -> None:
    operated(client, max_bytes_stored=1000)
    client.post(SHOES, json=SPEC)
    database = context(client).database
    for report, unit_counts in (({}, {"finalize": 1, "evaluate": 1}), ({"kept": 5, "bytes": 1000}, None)):
        ((unit, _),) = queue.next_units(database)
        lease = leases.acquire(database, unit, "w", 60)
        assert lease is not None
        leases.complete(database, lease, report, unit_counts)
    version = versions.find(database, "team", "shoes", 1)
    assert version is not None
    assert (version.size, version.counts) == (1000, {"kept": 5})
    for refused in (client.post(SHOES, json=SPEC), client.put("/v1/sources/birds", content=b"")):
        assert "1000 bytes are stored, of 1000 that you may have; delete versions" in problem(refused, 429)["detail"]
    transitions.cancel(database, version.id)
    assert client.delete(f"{SHOES}/1").status_code == 202
    problem(client.post(SHOES, json=SPEC), 429)  # until its files are gone
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    deletions.complete(database, lease)
    assert client.post(SHOES, json=SPEC).status_code == 202


def test_webhooks_are_capped(client: TestClient) -> None:
    operated(client, max_webhooks=1, private_webhooks=True)
    hook = {"url": "http://127.0.0.1:9/hook"}
    assert client.post("/v1/webhooks", json=hook).status_code == 201
    assert "1 webhooks are registered" in problem(client.post("/v1/webhooks", json=hook), 429)["detail"]


def test_requests_beyond_the_rate_are_told_when_to_come_again(client: TestClient) -> None:
    operated(client, max_requests_per_second=0.5)
    assert client.get("/v1/versions").status_code == 200
    refused = client.get("/v1/versions")
    assert "more than 0.5 requests a second with this key; try again in 2 s" in problem(refused, 429)["detail"]
    assert refused.headers["Retry-After"] == "2"
    assert client.get("/v1/versions", headers=as_(client, "team", "read")).status_code == 200


def test_a_bucket_fills_up_as_time_goes_by() -> None:
    buckets = TokenBuckets()
    for _ in range(20):
        buckets.take(1, 20)
    with pytest.raises(CapReached):
        buckets.take(1, 20)
    time.sleep(0.2)
    buckets.take(1, 20)
    for _ in range(100):
        buckets.take(2, 0)


def test_streams_are_counted_while_they_are_open(client: TestClient) -> None:
    operated(client, max_streams=1)
    client.post(SHOES, json=SPEC)
    streams = context(client).streams
    assert client.get(f"{SHOES}/9/events").status_code == 404
    assert streams.counts["team"] == 0
    follower = threading.Thread(target=lambda: client.get(f"{SHOES}/1/events"))
    follower.start()
    try:
        assert until(lambda: streams.counts["team"] == 1)
        time.sleep(0.3)  # well after the response has begun
        assert "1 streams of events or exports are open" in problem(client.get(f"{SHOES}/1/events"), 429)["detail"]
    finally:
        client.post(f"{SHOES}/1/cancel")
        follower.join(30)
    assert streams.counts["team"] == 0
    assert client.get(f"{SHOES}/1/events").status_code == 200


def test_a_stream_whose_client_went_away_is_not_counted_any_more(client: TestClient) -> None:
    """Over a real connection, which the client closes before the version ends."""
    client.post(SHOES, json=SPEC)
    streams, port = context(client).streams, free_port()
    server = uvicorn.Server(uvicorn.Config(client.app, port=port, lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started)
        with httpx.stream("GET", f"http://127.0.0.1:{port}{SHOES}/1/events", headers=client.headers) as stream:
            assert next(stream.iter_lines()), stream.status_code
            assert stream.status_code == 200
            assert streams.counts["team"] == 1
        assert until(lambda: streams.counts["team"] == 0)
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.mark.parametrize(("headers", "again"), [({"Retry-After": "1"}, True), ({}, False)])
def test_the_client_waits_only_where_waiting_helps(headers: dict[str, str], again: bool) -> None:
    request = httpx.Request("GET", "http://service/")
    error = httpx.HTTPStatusError("", request=request, response=httpx.Response(429, headers=headers, request=request))
    assert transient(error) == again
