"""Who may call the API."""

from fastapi.testclient import TestClient

from service.state import api_keys
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem


def test_keys_can_be_done_without(client: TestClient) -> None:
    bare = {"Authorization": ""}
    problem(client.post(SHOES, json=SPEC, headers=bare), 401)
    operated(client, auth=False)
    assert client.post(SHOES, json=SPEC, headers=bare).status_code == 202
    assert client.get(f"{SHOES}/1", headers=bare).json()["dataset"] == "shoes"


def test_without_a_key_nothing_is_said(client: TestClient) -> None:
    del client.headers["Authorization"]
    for headers in ({}, {"Authorization": "Bearer cp_guess"}, {"Authorization": "Basic eDp5"}):
        found = client.get("/v1/versions", headers=headers)
        assert "counterpoise keys create" in problem(found, 401)["detail"]
        assert found.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_key_is_nobodys(client: TestClient) -> None:
    (made,) = api_keys.list_all(context(client).database)
    assert api_keys.revoke(context(client).database, made.id)
    problem(client.get("/v1/versions"), 401)
    assert not api_keys.revoke(context(client).database, made.id)


def test_a_key_does_what_its_scopes_allow(client: TestClient) -> None:
    reader = as_(client, "team", "read")
    assert client.get("/v1/versions", headers=reader).status_code == 200
    assert "no scope 'submit'" in problem(client.post(SHOES, json=SPEC, headers=reader), 403)["detail"]
    assert client.post(SHOES, json=SPEC, headers=as_(client, "team", "admin")).status_code == 202
