"""Webhooks: signed, tried again, logged, and kept out of private networks."""

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from standardwebhooks import Webhook

from pipelines.errors import SpecError
from service.state import versions
from service.state.tables import Delivery
from service.webhooks.addresses import resolve
from service.webhooks.sender import deliver
from tests.servers import Receiver, receiving
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def local(client: TestClient) -> TestClient:
    """A service whose operator allows private addresses."""
    operated(client, private_webhooks=True)
    return client


def hook(client: TestClient, receiver: Receiver) -> dict[str, str]:
    made = client.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{receiver.port}/told?by=us"})
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def end_one(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    assert client.post(f"{SHOES}/1/cancel").status_code == 202


def at_once(client: TestClient) -> None:
    with context(client).database.write() as session:
        session.execute(update(Delivery).values(not_before=0.0))


def test_the_end_of_a_version_is_told_and_signed(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    end_one(local)
    assert deliver(context(local).database, True) == 1
    ((headers, body),) = receiver.got
    said = Webhook(made["secret"]).verify(body, headers)
    assert said == json.loads(body)
    assert said["type"] == "version.cancelled"
    assert said["data"]["dataset"] == "shoes"
    assert said["data"]["version"] == 1
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(made["secret"]).verify(body.replace(b"shoes", b"boots"), headers)
    assert "secret" not in local.get("/v1/webhooks").json()[0]
    assert deliver(context(local).database, True) == 0


def test_what_does_not_arrive_is_sent_again_under_the_same_id(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    receiver.statuses[:] = [500, 302, 204]
    end_one(local)
    database = context(local).database
    for _ in range(3):
        assert deliver(database, True) == 1
        assert deliver(database, True) == 0  # not before its time
        at_once(local)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    (log,) = local.get(f"/v1/webhooks/{made['id']}/deliveries").json()
    assert (log["state"], log["attempts"], log["status"], log["error"]) == ("delivered", 3, 204, None)


def test_a_delivery_is_given_up_in_the_end(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    receiver.statuses[:] = [500] * 20
    end_one(local)
    for _ in range(12):
        deliver(context(local).database, True)
        at_once(local)
    (log,) = local.get(f"/v1/webhooks/{made['id']}/deliveries").json()
    assert (log["state"], log["attempts"], log["error"]) == ("abandoned", 10, "answered 500")


def test_a_name_that_became_private_is_not_called(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    end_one(local)
    assert deliver(context(local).database, False) == 1
    assert receiver.got == []
    (log,) = local.get(f"/v1/webhooks/{made['id']}/deliveries").json()
    assert "no public address" in log["error"]
    with pytest.raises(SpecError):
        resolve("http://127.0.0.1", allow_private=False)


def test_webhooks_are_the_tenants_own(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    other = as_(local, "others")
    assert local.get("/v1/webhooks", headers=other).json() == []
    problem(local.get(f"/v1/webhooks/{made['id']}/deliveries", headers=other), 404)
    problem(local.delete(f"/v1/webhooks/{made['id']}", headers=other), 404)
    local.post(SHOES, json=SPEC, headers=other)
    local.post(f"{SHOES}/1/cancel", headers=other)
    assert deliver(context(local).database, True) == 0
    assert local.delete(f"/v1/webhooks/{made['id']}").status_code == 204
    assert local.get("/v1/webhooks").json() == []
    assert versions.count_by_state(context(local).database) == {"cancelled": 1}
