"""Every request has an id, which its answer, its problems and the version that it asked for carry."""

import json

import pytest
from fastapi.testclient import TestClient

from service.state import events, versions
from tests.service.calls import SHOES, SPEC, context, problem
from tests.service.health.test_metrics import scraped


def test_the_callers_id_is_kept_and_an_ill_formed_one_replaced(client: TestClient) -> None:
    for good in ("monday-7", "01J9ZK/ab+c==", "a" * 128):
        assert client.get("/healthz", headers={"X-Request-ID": good}).headers["x-request-id"] == good
    made = {client.get("/healthz").headers["x-request-id"] for _ in range(2)}
    for bad in ("", "two words", "a" * 129, "ä".encode(), b'"};'):
        made.add(client.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"])  # type: ignore[dict-item]
    assert len(made) == 7
    assert all(len(each) == 32 for each in made)


@pytest.mark.parametrize("path", [f"{SHOES}/7", "/v1/versions?limit=0", "/nowhere", "/v1/versions?cursor=x"])
def test_a_problem_names_its_request(client: TestClient, path: str) -> None:
    refused = client.get(path, headers={"X-Request-ID": "monday-7"})
    assert problem(refused, refused.status_code)["request_id"] == "monday-7"


def test_what_nobody_foresaw_is_a_problem_too_and_is_counted(client: TestClient) -> None:
    def broken() -> None:
        raise RuntimeError("a secret")

    client.app.add_api_route("/broken", broken)  # type: ignore[attr-defined]
    found = problem(client.get("/broken", headers={"X-Request-ID": "monday-7"}), 500)
    assert found["detail"] == "something went wrong here; the service's log says what, by the id monday-7"
    assert "secret" not in json.dumps(found)
    assert scraped(client)["counterpoise_request_seconds_count", "GET", "/broken", "500"] == 1


def test_made_up_methods_make_no_metrics(client: TestClient) -> None:
    for method in ("BREW", "WHEN"):
        client.request(method, "/healthz")
    found = [sample for sample in scraped(client) if sample[0] == "counterpoise_request_seconds_count"]
    assert {sample[1] for sample in found} <= {"GET", "other"}


def test_the_request_that_asked_for_a_version_is_kept_with_it(client: TestClient) -> None:
    first = client.post(SHOES, json=SPEC, headers={"X-Request-ID": "monday-7", "Idempotency-Key": "once"})
    again = client.post(SHOES, json=SPEC, headers={"X-Request-ID": "tuesday-1", "Idempotency-Key": "once"})
    assert first.json()["number"] == again.json()["number"] == 1
    database = context(client).database
    (version,) = versions.page(database, "team", dataset=None, state=None, before=None, limit=5)
    client.post(f"{SHOES}/1/cancel")
    assert events.origin(database, version.id) == {"request_id": "monday-7"}
    told = client.get(f"{SHOES}/1/events").text
    assert '"request_id": "monday-7"' in told
