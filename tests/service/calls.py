"""What the tests of the HTTP interface share."""

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi.testclient import TestClient

from pipelines.errors import CounterpoiseError
from pipelines.source.upload import make_newest
from pipelines.store.object_store import Store
from service.api.dependencies import AppContext
from service.state import api_keys, leases, queue, uploads
from workers import ingest

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
    return context(client).store(api_keys.Caller(tenant, ()))


def read_uploads(client: TestClient) -> None:
    """Read the uploads that wait, as a worker does, but in this process."""
    here = context(client)
    for unit, _ in queue.next_units(here.database, ["ingest"]):
        lease = leases.acquire(here.database, unit, "test", 60)
        assert lease is not None
        assert lease.upload is not None
        upload = uploads.get(here.database, lease.upload)
        assert upload is not None
        tenant = store(client, upload.tenant)
        try:
            digest = ingest.take(ingest.Task.of(upload, here.settings))
        except CounterpoiseError as error:
            leases.fail(here.database, lease, str(error), again=False)
        else:
            newest = partial(make_newest, tenant, upload.source, digest)
            leases.complete_upload(here.database, lease, {"digest": digest}, newest)
        tenant.delete(upload.key)


def upload(client: TestClient, content: bytes, source: str = "birds", **params: Any) -> dict[str, Any]:
    """Send an archive, and read it: the upload as it ended."""
    answer = client.put(f"/v1/sources/{source}", content=content, params=params)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "waiting"
    read_uploads(client)
    ended: dict[str, Any] = client.get(answer.headers["Location"]).json()
    return ended


def understood(client: TestClient, content: bytes, source: str = "birds", **params: Any) -> dict[str, Any]:
    """Send an archive that is good: the state of the source that it becomes."""
    ended = upload(client, content, source, **params)
    assert ended["state"] == "done", ended["error"]
    result: dict[str, Any] = ended["result"]
    return result


def refused(client: TestClient, content: bytes, source: str = "birds") -> str:
    """Send an archive that is not: why it failed."""
    ended = upload(client, content, source)
    assert (ended["state"], ended["result"]) == ("failed", None)
    error: str = ended["error"]
    return error
