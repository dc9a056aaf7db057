"""Files of a version over HTTP. Those of a published one: tests/flow."""

from fastapi.testclient import TestClient

from tests.service.calls import SHOES, SPEC, problem


def test_nothing_can_be_had_of_a_version_that_is_not_published(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    assert client.get(f"{SHOES}/1/files").json() == []
    for path in ("data/x.parquet", "../../../../state.db", "%2e%2e/%2e%2e/state.db", "manifest.json"):
        problem(client.get(f"{SHOES}/1/files/{path}"), 404)
