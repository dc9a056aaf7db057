"""The HTTP interface over a real database, a real broker and a real folder."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.app import create_app
from service.settings import Settings
from service.state import api_keys, leases, versions
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


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": 1e999}', b"[" * 100_000])
def test_what_is_no_spec_is_refused_politely(client: TestClient, body: bytes) -> None:
    response = client.post(SHOES, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"


def test_broken_json_says_where(client: TestClient) -> None:
    answer = client.post(SHOES, content=b'{"name": }', headers={"Content-Type": "application/json"})
    assert problem(answer, 422)["detail"] == "body: not valid JSON at character 9: Expecting value"


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


def test_without_a_key_nothing_is_said(client: TestClient) -> None:
    del client.headers["Authorization"]
    for headers in ({}, {"Authorization": "Bearer cp_guess"}, {"Authorization": "Basic eDp5"}):
        found = client.get("/v1/versions", headers=headers)
        assert "counterpoise keys create" in problem(found, 401)["detail"]
        assert found.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_is_nobodys(client: TestClient) -> None:
    (made,) = api_keys.listed(context(client).database)
    assert api_keys.revoke(context(client).database, made.id)
    problem(client.get("/v1/versions"), 401)
    assert not api_keys.revoke(context(client).database, made.id)


def test_a_key_does_what_its_scopes_allow(client: TestClient) -> None:
    reader = as_(client, "team", "read")
    assert client.get("/v1/versions", headers=reader).status_code == 200
    assert "no scope 'submit'" in problem(client.post(SHOES, json=SPEC, headers=reader), 403)["detail"]
    assert client.post(SHOES, json=SPEC, headers=as_(client, "team", "admin")).status_code == 202


def test_a_tenant_never_sees_anothers_versions(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    stranger = as_(client, "others")
    assert client.get("/v1/versions", headers=stranger).json()["items"] == []
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")):
        there = problem(client.request(method, f"{SHOES}/1{path}", headers=stranger), 404)
        nowhere = problem(client.request(method, f"{SHOES}/7{path}", headers=stranger), 404)
        assert there["detail"].replace("1", "7") == nowhere["detail"]
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
    assert problem(client.post(f"{SHOES}/1/retry"), 409)["detail"].endswith("only failed and cancelled ones are retried")
    assert client.post(f"{SHOES}/1/cancel").json()["state"] == "cancelled"
    assert "nothing to cancel" in problem(client.post(f"{SHOES}/1/cancel"), 409)["detail"]
    assert client.post(f"{SHOES}/1/retry").json()["state"] == "planning"


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
    ((unit, _),) = leases.in_line(database)
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


def test_nothing_can_be_had_of_a_version_that_is_not_published(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    assert client.get(f"{SHOES}/1/files").json() == []
    for path in ("data/x.parquet", "../../../../state.db", "%2e%2e/%2e%2e/state.db", "manifest.json"):
        problem(client.get(f"{SHOES}/1/files/{path}"), 404)


def test_what_can_be_asked_for_is_listed_with_its_settings(client: TestClient) -> None:
    methods = {each["type"]: each for each in client.get("/v1/methods").json()}
    assert methods["spurious_removal"]["parameters"]["properties"]["guidance"]["minimum"] == 1
    filters = {each["type"] for each in client.get("/v1/filters").json()}
    assert filters == {"quality", "near_duplicate", "label_agreement", "attribution", "clip_score"}


def test_a_spec_is_checked_without_being_run(client: TestClient) -> None:
    assert client.post("/v1/specs:validate", json=SPEC).json()["max_attempts"] == 3
    assert problem(client.post("/v1/specs:validate", json={**SPEC, "seed": -1}), 422)["errors"][0]["field"] == "seed"
    forbidden = {**SPEC, "models": {"text_to_image": "/models/sd"}}
    assert "COUNTERPOISE_MODEL_ROOTS" in problem(client.post("/v1/specs:validate", json=forbidden), 422)["detail"]
    assert client.get("/v1/versions").json()["items"] == []


def test_a_version_is_taken_on_while_the_broker_is_away(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, broker_url="redis://127.0.0.1:1/0")
    with TestClient(create_app(settings)) as client:
        made = client.post(SHOES, json=SPEC, headers=as_(client, "team"))
        assert made.status_code == 202
        assert client.get("/healthz").json() == {"status": "ok"}
        assert problem(client.get("/readyz"), 503)["detail"].startswith("broker: ")
        context(client).database.engine.dispose()


def test_ready_means_that_every_part_was_touched(client: TestClient) -> None:
    assert client.get("/readyz").json() == {"database": "ok", "broker": "ok", "store": "ok"}


def test_the_description_has_every_error_and_an_example(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["components"]["schemas"]["Problem"]["properties"]["errors"]["items"] == {
        "$ref": "#/components/schemas/Mistake"
    }
    post = schema["paths"]["/v1/datasets/{name}/versions"]["post"]
    assert set(post["responses"]) >= {"202", "401", "403", "409", "422"}
    example = post["requestBody"]["content"]["application/json"]["examples"]["spurious"]["value"]
    assert client.post(SHOES, json=example).status_code == 202
