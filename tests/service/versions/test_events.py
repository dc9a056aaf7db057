"""Server-Sent Events of a version."""

import json
from typing import Any

from fastapi.testclient import TestClient

from service.state import leases, queue, versions
from tests.service.calls import SHOES, SPEC, context


def events(client: TestClient, after: int | None = None) -> list[dict[str, Any]]:
    """All events that are sent until the stream ends."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    found: list[dict[str, Any]] = []
    with client.stream("GET", f"{SHOES}/1/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        one: dict[str, Any] = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "data":
                found.append({**one, **json.loads(value)})
            elif name in ("id", "event"):
                one[name] = value
    return found


def test_events_are_followed_to_the_end_and_gone_on_with_anywhere(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    database = context(client).database
    ((unit, _),) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {"planned": 10}, {})
    told = events(client)
    assert [(e["event"], e.get("state")) for e in told] == [
        ("state", "queued"), ("state", "planning"), ("unit", None), ("state", "completed"),
    ]  # fmt: skip
    assert events(client, after=int(told[1]["id"])) == told[2:]
    version = versions.find(database, "team", "shoes", 1)
    assert version is not None
    assert version.state == "completed"
