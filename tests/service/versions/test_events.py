"""Server-Sent Events of a version."""

import json
import re
import time
from threading import Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.state import leases, queue, versions
from service.state.tables import Unit, now
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
    assert client.get(f"{SHOES}/1").json()["silent"] == []
    version = versions.find(database, "team", "shoes", 1)
    assert version is not None
    assert version.state == "completed"


def test_a_worker_that_has_fallen_silent_is_told_of_until_another_takes_over(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.versions.events.SILENCE_POLL_SECONDS", 0.0)
    client.post(SHOES, json=SPEC)
    here = context(client)
    ((unit, _),) = queue.next_units(here.database)
    lease = leases.acquire(here.database, unit, "w", here.settings.lease_seconds)
    assert lease is not None
    assert client.get(f"{SHOES}/1").json()["silent"] == []
    with here.database.write() as session:
        session.execute(update(Unit).values(lease_until=now() + here.settings.lease_seconds - 40))
    (line,) = client.get(f"{SHOES}/1").json()["silent"]
    assert re.fullmatch(
        r"plan 0: no sign of its worker for 4\d s; its lease ends in (20|1\d) s, then another takes over", line
    )
    with here.database.write() as session:
        session.execute(update(Unit).values(lease_until=now() - 5))
    (line,) = client.get(f"{SHOES}/1").json()["silent"]
    assert re.fullmatch(r"plan 0: no sign .* for \d+ s; its lease has ended, and it waits for a free worker", line)
    with here.database.write() as session:
        session.execute(update(Unit).values(lease_until=now() + here.settings.lease_seconds - 40))

    def end() -> None:
        time.sleep(1.5)
        leases.complete(here.database, lease, {"planned": 10}, {})

    ending = Thread(target=end)
    ending.start()
    told = events(client)
    ending.join(10)
    messages = [event for event in told if event["event"] == "progress"]
    assert [re.sub(r"\d+ s", "n s", event["message"]) for event in messages] == [
        "plan 0: no sign of its worker for n s; its lease ends in n s, then another takes over"
    ]
    assert messages[0]["id"] == told[told.index(messages[0]) - 1]["id"]
    assert client.get(f"{SHOES}/1").json()["silent"] == []
