"""What the tests of the HTTP interface share."""

from dataclasses import replace
from typing import Any

from fastapi.testclient import TestClient

from pipelines.store.object_store import Store
from service.api.dependencies import AppContext
from service.state import api_keys

SPEC: dict[str, Any] = {
    "name": "shoes",
    "source": {"type": "spurious"},
    "method": {"type": "text_to_image"},
    "amount": {"per_class": 5},
}
SHOES = "/v1/datasets/shoes/versions"


def context(client: TestClient) -> AppContext:
    found: AppContext = client.app.state.context  # type: ignore[attr-defined]
    return found


def key(client: TestClient, tenant: str = "team", *scopes: api_keys.Scope) -> str:
    return api_keys.create(context(client).database, "test", tenant, scopes or ("read", "submit"))


def as_(client: TestClient, tenant: str, *scopes: api_keys.Scope) -> dict[str, str]:
    return {"Authorization": f"Bearer {key(client, tenant, *scopes)}"}


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    return found


def operated(client: TestClient, **changes: Any) -> None:
    """Change what the operator has set."""
    here = context(client)
    client.app.state.context = replace(here, settings=here.settings.model_copy(update=changes))  # type: ignore[attr-defined]


def store(client: TestClient, tenant: str = "team") -> Store:
    return Store.open(f"{context(client).settings.store}/{tenant}")
