"""Images that are to be forgotten, with all that was learned from them or made with them. 5 s."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

import service.sources.erasure as erasure
from pipelines.source.upload import describe
from pipelines.store import keys
from pipelines.store.canonical import canonical
from service.state import leases, versions
from service.state.tables import Upload
from tests.service.calls import SHOES, SPEC, as_, context, problem, store
from tests.service.state.units import take

BIRDS = "/v1/sources/birds"
ERASE = f"{BIRDS}:erase"
SCHEDULE = {"cron": "0 3 * * 1", "spec": {**SPEC, "source": {"type": "uploaded", "name": "birds"}}}


def sent(client: TestClient, name: str, digest: str, images: dict[str, str]) -> None:
    """A state of a source, id to SHA-256, as an upload leaves it; it is the newest."""
    rows = [{"id": i, "sha256": sha256, "label": "boot", "group": None, "split": "train"} for i, sha256 in images.items()]
    for sha256 in images.values():
        store(client).put(keys.blob(sha256), b"image")
    index = {"name": name, "items": rows, "problems": []}
    store(client).put(keys.index(name, digest), canonical(index))
    store(client).put(keys.summary(name, digest), canonical(describe(index, digest)))
    store(client).put(keys.newest(name), canonical({"digest": digest}))


def completed(client: TestClient, number: int, digest: str, *images: str) -> None:
    """A version that was made from a state of the source."""
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds", "digest": digest}}
    versions.create(context(client).database, "team", "shoes", spec)
    leases.complete(context(client).database, take(context(client).database), {}, {})
    listing = {"train": [{"id": image, "sha256": image, "label": "boot", "group": None} for image in images], "test": []}
    store(client).put(keys.source(keys.version("shoes", number)), canonical(listing))


def learned(client: TestClient, kind: str, name: str, file: str = "curve.json", **facts: Any) -> str:
    folder = f"concepts/{kind}/{name:0>16}"
    store(client).put(f"{folder}/weights.safetensors", b"weights")
    if facts:
        store(client).put(f"{folder}/{file}", canonical(facts))
    return folder


@pytest.fixture
def birds(client: TestClient) -> TestClient:
    """Two states of a source, another source that holds one of the images, and a version of each state."""
    sent(client, "cats", "c1", {"tom": "cc1"})
    sent(client, "birds", "b1", {"a": "aa1", "old": "aa2", "gone": "aa9"})
    sent(client, "birds", "b2", {"a": "aa1", "new": "aa2", "b": "bb1", "c": "cc1"})
    completed(client, 1, "b1", "aa1", "aa2", "aa9")
    completed(client, 2, "b2", "aa1", "bb1")
    return client


def images(client: TestClient) -> set[str]:
    return {key.rpartition("/")[2] for key in store(client).keys("blobs")}


def states(client: TestClient) -> set[str]:
    return {key.rpartition("/")[2].partition(".")[0] for key in store(client).keys("sources/birds")} - {"newest"}


def test_an_image_is_erased_from_every_state_whatever_it_is_called(birds: TestClient) -> None:
    answer = birds.post(ERASE, json={"ids": ["new"]})
    assert answer.status_code == 200, answer.text
    view = answer.json()
    assert (view["images"], view["sources"]) == (1, [])
    assert view["versions"] == [{"dataset": "shoes", "number": 1, "state": "completed"}]
    assert states(birds) == {view["digest"]}
    assert images(birds) == {"aa1", "bb1", "cc1"}  # aa9 was of the old state alone
    assert birds.get(BIRDS).json()["images"] == 3
    assert "no state of 'birds' has an image 'new'" in problem(birds.post(ERASE, json={"ids": ["a", "new"]}), 422)["detail"]


def test_what_another_source_holds_stays_there_and_is_named(birds: TestClient) -> None:
    assert birds.post(ERASE, json={"ids": ["c"]}).json()["sources"] == ["cats"]
    assert "cc1" in images(birds)
    assert states(birds) >= {"b1"}  # it never held the image


def test_what_was_learned_from_an_image_goes_and_what_was_not_stays(birds: TestClient) -> None:
    token = learned(birds, "token", "1", images=["aa1", "aa2"])
    gone = [
        learned(birds, "classifier", "1", "facts.json", images=["aa2", "bb1"]),
        learned(birds, "classifier", "2"),  # of an older release: nobody knows what it was made from
        learned(birds, "lora", "1", images=["aa2"]),
        learned(birds, "lora", "2", images=["bb1"], concepts=[f"{token}/learned_embeds.safetensors"]),
        token,
    ]
    kept = [
        learned(birds, "classifier", "3", "facts.json", images=["bb1"]),
        learned(birds, "lora", "3", images=["bb1"], concepts=[None]),
        learned(birds, "token", "2", images=["bb1"]),
    ]
    assert birds.post(ERASE, json={"ids": ["old"]}).json()["artifacts"] == gone
    assert {key.rpartition("/")[0] for key in store(birds).keys("concepts")} == set(kept)


def test_with_cascade_the_versions_are_deleted(birds: TestClient) -> None:
    view = birds.post(ERASE, json={"ids": ["a"]}, params={"cascade": True}).json()
    assert view["versions"] == [{"dataset": "shoes", "number": n, "state": "deleting"} for n in (1, 2)]
    assert birds.get("/v1/datasets/shoes").json()["latest"] is None


@pytest.mark.parametrize("place", ["remove", "drop_states", "holders"])
def test_killed_in_the_middle_it_is_asked_for_again(birds: TestClient, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    token = learned(birds, "token", "1", images=["aa1"])

    def killed(*_: Any) -> None:
        raise OSError("killed")

    monkeypatch.setattr(erasure, place, killed)
    assert birds.post(ERASE, json={"ids": ["a"]}).status_code == 500
    monkeypatch.undo()
    again = birds.post(ERASE, json={"ids": ["a"]})
    if place != "holders":  # then all was done but for the answer
        assert again.json()["artifacts"] == ([token] if place == "remove" else [])
    assert "aa1" not in images(birds)
    assert store(birds).keys("concepts") == []
    assert birds.get(BIRDS).json()["images"] == 3


def test_while_it_is_read_nothing_is_erased(birds: TestClient) -> None:
    spec = {**SPEC, "source": {"type": "uploaded", "name": "birds"}}
    birds.post(SHOES, json=spec)
    for refused in (birds.post(ERASE, json={"ids": ["a"]}), birds.delete(BIRDS, params={"cascade": True})):
        assert "version 3 of 'shoes' is made from source 'birds'; cancel it" in problem(refused, 409)["detail"]
    birds.post(f"{SHOES}/3/cancel")
    with context(birds).database.write() as session:
        values = {"tenant": "team", "source": "cats", "key": "uploads/a", "size": 1, "allow_synthetic": False}
        session.execute(insert(Upload).values(**values, state="waiting", created=0))
    line = r"upload \d+ to source 'cats' is waiting, and may hold these images; wait until it is done"
    for refused in (birds.post(ERASE, json={"ids": ["a"]}), birds.delete(BIRDS, params={"cascade": True})):
        assert re.fullmatch(line, problem(refused, 409)["detail"])
    assert images(birds) == {"aa1", "aa2", "aa9", "bb1", "cc1"}


def test_the_last_images_go_with_their_source_alone(birds: TestClient) -> None:
    assert (
        "DELETE /v1/sources/birds instead" in problem(birds.post(ERASE, json={"ids": ["a", "new", "b", "c"]}), 422)["detail"]
    )
    problem(birds.post(ERASE, json={"ids": []}), 422)
    problem(birds.post(ERASE, json={"ids": ["a"]}, headers=as_(birds, "team", "read")), 403)
    for stranger in (birds.post(ERASE, json={"ids": ["a"]}, headers=as_(birds, "others")),
                     birds.delete(BIRDS, headers=as_(birds, "others"))):  # fmt: skip
        problem(stranger, 404)


def test_a_source_is_deleted_unless_something_uses_it(birds: TestClient) -> None:
    shared, own = learned(birds, "token", "1", images=["cc1"]), learned(birds, "token", "2", images=["bb1", "cc1"])
    birds.put("/v1/datasets/shoes/schedule", json=SCHEDULE)
    refused = problem(birds.delete(BIRDS), 409)["detail"]
    assert "version 1 of 'shoes', version 2 of 'shoes', the schedule of 'shoes'; remove them" in refused
    assert birds.get(BIRDS).status_code == 200
    view = birds.delete(BIRDS, params={"cascade": True}).json()
    assert (view["digest"], view["images"], view["artifacts"]) == (None, 4, [own])
    assert {version["state"] for version in view["versions"]} == {"deleting"}
    problem(birds.get("/v1/datasets/shoes/schedule"), 404)
    problem(birds.delete(BIRDS), 404)
    problem(birds.get(BIRDS), 404)
    assert images(birds) == {"cc1"}
    assert [key.rpartition("/")[0] for key in store(birds).keys(shared)] == [shared] * 2


def test_a_deletion_that_was_killed_is_asked_for_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(client, "birds", "b1", {"a": "aa1"})
    delete_all = type(store(client)).delete_all

    def killed(self: Any, keys: list[str]) -> None:
        if keys and keys[0].startswith("sources/"):
            raise OSError("killed")
        delete_all(self, keys)

    monkeypatch.setattr(type(store(client)), "delete_all", killed)
    assert client.delete(BIRDS).status_code == 500
    monkeypatch.undo()
    assert "DELETE /v1/sources/birds again" in problem(client.post(ERASE, json={"ids": ["a"]}), 422)["detail"]
    assert client.delete(BIRDS).status_code == 200
    assert (images(client), states(client)) == (set(), set())


def test_what_was_learned_is_deleted_unless_a_version_on_its_way_uses_it(client: TestClient) -> None:
    folder = learned(client, "token", "a1", images=["aa1"])
    url = f"/v1/{folder}"
    client.post(SHOES, json=SPEC)
    database = context(client).database
    leases.complete(database, take(database), {}, {"learn": 1, "generate": 1})
    leases.complete(database, take(database), {"artifacts": [f"{folder}/learned_embeds.safetensors"]})
    assert "version 1 of 'shoes' uses it" in problem(client.delete(url), 409)["detail"]
    client.post(f"{SHOES}/1/cancel")
    problem(client.delete(url, headers=as_(client, "others")), 404)
    problem(client.delete(url, headers=as_(client, "team", "read")), 403)
    problem(client.delete("/v1/concepts/token/..%2F..%2Fsources"), 404)
    problem(client.delete("/v1/concepts/Mask/00000000000000a1"), 422)
    assert (
        "there are kinds in concepts/ of the store: token"
        in problem(client.delete("/v1/concepts/mask/00000000000000a1"), 404)["detail"]
    )
    assert client.delete(url).status_code == 204
    assert store(client).keys("concepts") == []
    problem(client.delete(url), 404)


@pytest.mark.parametrize("kind", ["token", "lora", "classifier", "masks", "ranking", "calibration", "of_tomorrow"])
def test_artifacts_of_every_kind_are_deleted(client: TestClient, kind: str) -> None:
    folder = learned(client, kind, "a1", images=["aa1"])
    other = learned(client, kind, "a2", images=["aa1"])
    assert client.delete(f"/v1/{folder}").status_code == 204
    assert {key.rpartition("/")[0] for key in store(client).keys("concepts")} == {other}
