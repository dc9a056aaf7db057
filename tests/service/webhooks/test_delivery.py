"""Webhooks: signed, tried again, logged, and kept out of private networks."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update
from standardwebhooks import Webhook

from pipelines.errors import SpecError
from service.state import versions
from service.state.database import clock
from service.state.tables import Delivery
from service.state.tables import Webhook as WebhookRow
from service.webhooks.addresses import resolve
from service.webhooks.delivery import retry_after
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


def test_while_a_secret_is_rotated_both_sign(local: TestClient, receiver: Receiver) -> None:
    old = hook(local, receiver)
    new = local.post(f"/v1/webhooks/{old['id']}/rotate").json()
    assert new["secret"] != old["secret"]
    end_one(local)
    deliver(context(local).database, True)
    ((headers, body),) = receiver.got
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (new["secret"], old["secret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "version.cancelled"
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    with context(local).database.write() as session:  # a day later
        session.execute(update(WebhookRow).values(previous_until=WebhookRow.previous_until - 24 * 3600.0))
    local.post(f"/v1/webhooks/{old['id']}/test")
    deliver(context(local).database, True)
    headers, body = receiver.got[-1]
    assert Webhook(new["secret"]).verify(body, headers)["type"] == "webhook.test"
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(old["secret"]).verify(body, headers)


def test_who_is_gone_is_left_alone_until_enabled_again(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    path = f"/v1/webhooks/{made['id']}"
    receiver.statuses[:] = [500, 410]
    end_one(local)
    deliver(context(local).database, True)
    local.post(f"{path}/test")
    deliver(context(local).database, True)
    (view,) = local.get("/v1/webhooks").json()
    assert view["disabled"] > made["created"]  # type: ignore[operator]
    assert "410 Gone" in view["reason"]
    assert {log["state"] for log in local.get(f"{path}/deliveries").json()} == {"abandoned"}
    assert "is disabled: the receiver answered 410" in problem(local.post(f"{path}/test"), 409)["detail"]
    problem(local.post(f"{path}/deliveries/msg_1/retry"), 409)
    local.post(SHOES, json=SPEC)
    local.post(f"{SHOES}/2/cancel")  # of which nothing is sent, not even later
    assert local.post(f"{path}/enable").json()["disabled"] is None
    assert deliver(context(local).database, True) == 0
    assert local.post(f"{path}/deliveries/msg_1/retry").status_code == 202
    problem(local.post(f"{path}/deliveries/msg_9/retry"), 404)
    assert deliver(context(local).database, True) == 1
    assert [headers["webhook-id"] for headers, _ in receiver.got] == ["msg_1", "msg_2", "msg_1"]


def test_retry_after_puts_off_the_next_attempt(local: TestClient, receiver: Receiver) -> None:
    hook(local, receiver)
    receiver.statuses[:], receiver.headers["retry-after"] = [429], "600"
    end_one(local)
    deliver(context(local).database, True)
    with context(local).database.read() as session:
        row = session.scalars(select(Delivery)).one()
        assert (row.state, row.status) == ("pending", 429)
        assert 590 < row.not_before - clock(session) < 600 * 1.1 + 1


def test_redirects_are_not_followed(local: TestClient, receiver: Receiver) -> None:
    made = hook(local, receiver)
    receiver.statuses[:], receiver.headers["location"] = [307, 307], f"http://127.0.0.1:{receiver.port}/elsewhere"
    end_one(local)
    assert deliver(context(local).database, True) == 1
    assert len(receiver.got) == 1
    (log,) = local.get(f"/v1/webhooks/{made['id']}/deliveries").json()
    assert log["error"] == "answered 307; redirects are not followed: register the address that it leads to"


def test_what_fails_for_days_is_disabled(local: TestClient, receiver: Receiver) -> None:
    hook(local, receiver)
    receiver.statuses[:] = [204, *[500] * 20]
    local.post("/v1/webhooks/1/test")
    deliver(context(local).database, True)  # the last that arrived
    end_one(local)
    for days, disabled in ((3, False), (6, True)):
        local.post("/v1/webhooks/1/test")
        with context(local).database.write() as session:
            session.execute(
                update(Delivery).values(at=Delivery.at - 3 * 86_400.0, not_before=Delivery.not_before - 3 * 86_400.0)
            )
            session.execute(update(Delivery).where(Delivery.state == "pending").values(attempts=9))
        deliver(context(local).database, True)
        (view,) = local.get("/v1/webhooks").json()
        assert (view["disabled"] is not None) == disabled, days
    assert view["reason"] == "nothing has arrived for 6 days; at last: answered 500"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
        ("1e9", 0),
        ("9" * 400, 86_400),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_retry_after_may_be_a_date() -> None:
    assert 55 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)) <= 60
