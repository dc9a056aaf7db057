"""API keys over HTTP, by their tenant's own administrators; and keys that expire."""

import time

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.state import api_keys
from service.state.tables import ApiKey, now
from tests.service.calls import as_, context, problem


@pytest.fixture
def admin(client: TestClient) -> dict[str, str]:
    return as_(client, "team", "admin")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_an_administrator_makes_lists_and_revokes_keys(client: TestClient, admin: dict[str, str]) -> None:
    made = client.post("/v1/keys", json={"name": "ci", "scopes": ["read", "read"], "expires_in": 3600}, headers=admin).json()
    assert made["scopes"] == ["read"]
    assert made["expires"] - made["created"] == pytest.approx(3600, abs=1)
    assert client.get("/v1/versions", headers=bearer(made["key"])).status_code == 200
    problem(client.get("/v1/keys", headers=bearer(made["key"])), 403)
    views = {view["name"]: view for view in client.get("/v1/keys", headers=admin).json()}
    assert "key" not in views["ci"]
    assert views["ci"]["last_used"] == pytest.approx(made["created"], abs=60)
    assert client.delete(f"/v1/keys/{made['id']}", headers=admin).status_code == 204
    problem(client.get("/v1/versions", headers=bearer(made["key"])), 401)
    problem(client.delete(f"/v1/keys/{made['id']}", headers=admin), 404)


def test_keys_are_the_tenants_own(client: TestClient, admin: dict[str, str]) -> None:
    as_(client, "others", "read")
    views = client.get("/v1/keys", headers=admin).json()
    (foreign,) = [key for key in api_keys.list_all(context(client).database) if key.tenant == "others"]
    assert foreign.id not in {view["id"] for view in views}
    problem(client.delete(f"/v1/keys/{foreign.id}", headers=admin), 404)
    problem(client.post("/v1/keys", json={"name": "x", "tenant": "others"}, headers=admin), 422)
    problem(client.post("/v1/keys", json={"name": "x", "scopes": ["root"]}, headers=admin), 422)
    for method in ("GET", "POST"):
        problem(client.request(method, "/v1/keys", json={"name": "x"}), 403)  # reads and submits alone


def test_a_key_has_the_limits_of_the_one_that_made_it(client: TestClient) -> None:
    database = context(client).database
    _, key = api_keys.issue(database, "capped", "team", ["admin"], limits={"running_units": 2})
    made = client.post("/v1/keys", json={"name": "child"}, headers=bearer(key)).json()
    assert made["limits"] == {"running_units": 2}
    caller = api_keys.authenticate(database, made["key"])
    assert caller is not None
    assert caller.limits == {"running_units": 2}


def test_an_expired_key_says_since_when_and_what_to_do(client: TestClient) -> None:
    database = context(client).database
    row, key = api_keys.issue(database, "short", "team", ["read"], lifetime=0.3)
    assert client.get("/v1/versions", headers=bearer(key)).status_code == 200
    time.sleep(0.5)
    answer = client.get("/v1/versions", headers=bearer(key))
    detail = problem(answer, 401)["detail"]
    assert "'short') expired on 2" in detail
    assert f"counterpoise keys rotate {row.id}" in detail
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_last_use_is_written_once_a_minute(client: TestClient) -> None:
    database = context(client).database
    row, key = api_keys.issue(database, "busy", "team", ["read"])

    def last_used() -> float | None:
        return next(one.last_used for one in api_keys.list_all(database) if one.id == row.id)

    assert last_used() is None
    api_keys.authenticate(database, key)
    first = last_used()
    assert first is not None
    time.sleep(0.02)
    api_keys.authenticate(database, key)
    assert last_used() == first
    with database.write() as session:
        session.execute(update(ApiKey).where(ApiKey.id == row.id).values(last_used=now() - 61))
    api_keys.authenticate(database, key)
    later = last_used()
    assert later is not None
    assert later > first
