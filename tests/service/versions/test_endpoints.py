"""Versions over HTTP: created, once for an idempotency key, listed, cancelled, retried."""

import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.state import leases, queue
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem


def test_a_version_is_asked_for_and_looked_at(client: TestClient) -> None:
    made = client.post(SHOES, json=SPEC)
    assert made.status_code == 202
    assert made.headers["Location"] == f"{SHOES}/1"
    seen = client.get(f"{SHOES}/1")
    assert seen.json() == made.json()
    assert (seen.json()["state"], seen.json()["units"]) == ("queued", {"plan": {"done": 0, "of": 1}})
    assert seen.json()["spec"]["amount"]["per_class"] == 5
    assert client.post(SHOES, json=SPEC).json()["number"] == 2


def test_what_a_version_has_taken_is_in_seconds_and_money(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    database = context(client).database
    ((unit, _), *_) = queue.next_units(database)
    lease = leases.acquire(database, unit, "w", 60)
    assert lease is not None
    leases.complete(database, lease, {}, {"learn": 1}, seconds=90.0)
    cost = {"cpu_seconds": 90.0, "gpu_seconds": 0.0, "money": None, "currency": ""}
    assert client.get(f"{SHOES}/1").json()["cost"] == cost
    operated(client, price_cpu_hour=4.0, price_gpu_hour=40.0, currency="EUR")
    priced = {**cost, "money": 0.1, "currency": "EUR"}
    assert client.get(f"{SHOES}/1").json()["cost"] == priced
    assert client.get("/v1/usage").json()["cost"] == priced
    assert client.get("/v1/usage", headers=as_(client, "others")).json()["cost"]["cpu_seconds"] == 0


def test_the_same_request_twice_is_one_version(client: TestClient) -> None:
    once = {"Idempotency-Key": "monday"}
    first, again = client.post(SHOES, json=SPEC, headers=once), client.post(SHOES, json=SPEC, headers=once)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["number"] == again.json()["number"] == 1
    said = problem(client.post(SHOES, json={**SPEC, "seed": 1}, headers=once), 409)
    assert "Idempotency-Key: was used for another request" in said["detail"]
    other = client.post(SHOES, json=SPEC, headers={**once, **as_(client, "others")})
    assert other.status_code == 202


def test_of_many_at_once_each_gets_a_number_of_its_own(client: TestClient) -> None:
    numbers: list[int] = []
    threads = [
        threading.Thread(target=lambda: numbers.append(client.post(SHOES, json=SPEC).json()["number"])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 9))


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        (
            {"method": {"type": "text_to_image", "steps": 0}},
            "method.steps",
            "greater than or equal to 1 (given: 0)",
        ),
        ({"amuont": 5}, "amuont", "no such field; correct its name, or remove it"),
        ({"source": {"type": "spurious", "ratio": 2}}, "source.ratio", "less than or equal to 1 (given: 2)"),
        ({"name": "No!"}, "name", "should match pattern"),
    ],
)
def test_a_bad_spec_names_the_field(client: TestClient, changes: dict[str, Any], field: str, said: str) -> None:
    found = problem(client.post(SHOES, json={**SPEC, **changes}), 422)
    (mistake,) = found["errors"]
    assert mistake["field"] == field
    assert said in mistake["message"]
    assert said in found["detail"]


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"type": "folder", "path": "s3://bucket/secret"}, "source.path"),
        ({"type": "parquet", "path": "/etc/*.parquet"}, "source.path"),
        ({"type": "webdataset", "path": "s3://bucket/database"}, "source.path"),
        ({"type": "hub", "id": "other/shoes"}, "source.id"),
        ({"type": "hub", "id": "/etc"}, "source.id"),
    ],
)
def test_images_are_read_only_where_the_operator_allows(client: TestClient, source: dict[str, Any], field: str) -> None:
    operated(client, source_roots=["s3://bucket/data", "/photos"], hub_organisations=["shop"])
    for path in (SHOES, "/v1/specs:validate"):
        found = problem(client.post(path, json={**SPEC, "source": source}), 422)
        assert found["errors"][0]["field"] == field
        assert "is not allowed here; the operator allows" in found["detail"]
    for allowed in ({"type": "folder", "path": "s3://bucket/data/x"}, {"type": "hub", "id": "shop/shoes"},
                    {"type": "parquet", "path": "/photos/a-*.parquet"}):  # fmt: skip
        assert client.post("/v1/specs:validate", json={**SPEC, "source": allowed}).status_code == 200


def test_the_spec_and_the_address_must_agree(client: TestClient) -> None:
    assert "make them the same" in problem(client.post("/v1/datasets/hats/versions", json=SPEC), 409)["detail"]


def test_a_tenant_never_sees_anothers_versions(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    stranger = as_(client, "others")
    assert client.get("/v1/versions", headers=stranger).json()["items"] == []
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")):
        there = problem(client.request(method, f"{SHOES}/1{path}", headers=stranger), 404)
        nowhere = problem(client.request(method, f"{SHOES}/7{path}", headers=stranger), 404)
        assert there["detail"] == nowhere["detail"]
    assert client.get(f"{SHOES}/1").json()["state"] == "queued"


def test_pages_go_through_every_version_once_the_newest_first(client: TestClient) -> None:
    for number in range(5):
        client.post(SHOES, json={**SPEC, "seed": number})
    seen, cursor = [], None
    while True:
        page = client.get("/v1/versions", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["number"] for item in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == [5, 4, 3, 2, 1]
    client.post(f"{SHOES}/3/cancel")
    cancelled = client.get("/v1/versions", params={"state": "cancelled"}).json()["items"]
    assert [item["number"] for item in cancelled] == [3]
    assert client.get("/v1/versions", params={"dataset": "hats"}).json()["items"] == []
    problem(client.get("/v1/versions", params={"cursor": "x"}), 400)


def test_cancelled_and_tried_again(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    assert problem(client.post(f"{SHOES}/1/retry"), 409)["detail"].endswith(
        "only failed, cancelled and unevaluated ones are retried"
    )
    assert client.post(f"{SHOES}/1/cancel").json()["state"] == "cancelled"
    assert "nothing to cancel" in problem(client.post(f"{SHOES}/1/cancel"), 409)["detail"]
    assert client.post(f"{SHOES}/1/retry").json()["state"] == "planning"


def test_a_version_is_taken_on_while_the_broker_is_away(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, broker_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(settings)) as client:
        made = client.post(SHOES, json=SPEC, headers=as_(client, "team"))
        assert made.status_code == 202
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"database": "ok", "broker": "away", "store": "ok"}
        context(client).database.engine.dispose()
