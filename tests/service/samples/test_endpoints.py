"""Samples of a version that was really made: paged, filtered, and their images; and removing it all."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient

from pipelines.progress import Silent
from pipelines.run import run
from pipelines.source.decode import decode
from pipelines.spec import parse
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version.plan import read_plan
from pipelines.version.rows import read_shards
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem, store
from tests.test_run import SPEC as SMALL
from workers.unit import Worker

ROOT = keys.version("shoes", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a version of several shards, some of its samples dropped."""
    folder = tmp_path_factory.mktemp("made")
    run(parse({**SMALL, "evaluation": None, "shard_size": 3}), folder / "team", Silent())
    return folder


@pytest.fixture
def shoes(client: TestClient, made: Path) -> TestClient:
    operated(client, store_url=str(made))
    client.post(SHOES, json=SPEC)
    return client


def written(client: TestClient, rejected: bool) -> list[dict[str, Any]]:
    """The rows themselves."""
    plan = read_plan(store(client), ROOT)
    assert plan is not None
    assert plan.shards > 2
    return read_shards(store(client), ROOT, plan, rejected=rejected)


def everything(client: TestClient, **params: object) -> list[dict[str, object]]:
    found, cursor = [], None
    for _ in range(100):
        page = client.get(f"{SHOES}/1/samples", params={**params, **({"cursor": cursor} if cursor else {})}).json()
        found += page["items"]
        if (cursor := page["next"]) is None:
            return found
    raise AssertionError("pages without end")


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_pages_hold_every_sample_once(shoes: TestClient, limit: int) -> None:
    rows = [row for rejected in (False, True) for row in written(shoes, rejected)]
    found = everything(shoes, limit=limit)
    ids = [each["id"] for each in found]
    assert len(set(ids)) == len(ids)
    assert set(ids) == {f"{row['index']}-{row['attempt']}" for row in rows}


def test_they_are_filtered(shoes: TestClient) -> None:
    every = everything(shoes)
    dropped = everything(shoes, verdict="dropped")
    assert dropped
    assert {e["verdict"] for e in dropped} == {"dropped"}
    assert len(everything(shoes, verdict="kept")) + len(dropped) == len(every)
    reason = str(dropped[0]["reason"])
    some = everything(shoes, reason=reason.split(":")[0])
    assert [e["id"] for e in some] == [e["id"] for e in dropped if str(e["reason"]).startswith(reason.split(":")[0])]
    boots = everything(shoes, label="boot")
    assert [e["id"] for e in boots] == [e["id"] for e in every if e["label"] == "boot"]
    assert everything(shoes, label="hat") == []


def test_each_has_its_image(shoes: TestClient) -> None:
    rows = {f"{r['index']}-{r['attempt']}": r for rejected in (False, True) for r in written(shoes, rejected)}
    for each in everything(shoes):
        answer = shoes.get(str(each["image"]))
        assert answer.headers["content-type"] == "image/png"
        PIL.Image.open(io.BytesIO(answer.content)).verify()
        row = rows[str(each["id"])]
        assert np.array_equal(decode(answer.content, allow_synthetic=True), decode(row["image"], allow_synthetic=True))
        assert each["prompt"] == row["prompt"]
    problem(shoes.get(f"{SHOES}/1/samples/999-0/image"), 404)
    problem(shoes.get(f"{SHOES}/1/samples/x/image"), 422)


def test_one_that_was_repainted_in_part_has_its_mask(shoes: TestClient) -> None:
    for each in everything(shoes):
        mask = PIL.Image.open(io.BytesIO(shoes.get(str(each["mask"])).content))
        image = PIL.Image.open(io.BytesIO(shoes.get(str(each["image"])).content))
        assert (mask.mode, mask.size) == ("1", image.size)
        left, top, width, height = each["box"]  # type: ignore[misc]
        assert mask.getbbox() == (left, top, left + width, top + height)
    problem(shoes.get(f"{SHOES}/1/samples/999-0/mask"), 404)


@pytest.mark.parametrize("encoding", ["webp", "jpeg"])
def test_an_image_comes_as_it_is_stored(client: TestClient, tmp_path: Path, encoding: str) -> None:
    small = {**SMALL, "evaluation": None, "encoding": {"type": encoding}, "method": {"type": "text_to_image", "steps": 1}}
    run(parse(small), tmp_path / "team", Silent())
    operated(client, store_url=str(tmp_path))
    client.post(SHOES, json=SPEC)
    for each in everything(client):
        answer = client.get(str(each["image"]))
        assert answer.headers["content-type"] == f"image/{encoding}"
        assert each["mask"] is None  # all of it was generated
        problem(client.get(f"{SHOES}/1/samples/{each['id']}/mask"), 404)
        assert PIL.Image.open(io.BytesIO(answer.content)).format == encoding.upper()


def test_a_version_that_is_not_made_has_none(shoes: TestClient) -> None:
    shoes.post(SHOES, json=SPEC)
    assert shoes.get(f"{SHOES}/2/samples").json() == {"items": [], "next": None}
    problem(shoes.get(f"{SHOES}/1/samples?cursor=abc"), 400)
    problem(shoes.get(f"{SHOES}/1/samples", headers=as_(shoes, "others")), 404)


def test_what_was_learned_is_listed(shoes: TestClient) -> None:
    found = shoes.get("/v1/concepts").json()
    assert {each["token"] for each in found} == {"<boot>", "<sneaker>"}
    assert store(shoes).exists(found[0]["key"])
    assert shoes.get("/v1/concepts", headers=as_(shoes, "others")).json() == []


def test_a_removed_version_leaves_nothing_and_its_number_is_not_given_again(client: TestClient, tmp_path: Path) -> None:
    client.post(SHOES, json=SPEC)
    store(client).put(f"{ROOT}/manifest.json", b"{}")
    store(client).put(f"{ROOT}/data/a.parquet", b"x")
    store(client).put(f"{keys.version('shoes', 10)}/manifest.json", b"another")
    assert "cancel it first" in problem(client.delete(f"{SHOES}/1"), 409)["detail"]
    client.post(f"{SHOES}/1/cancel")
    problem(client.delete(f"{SHOES}/1", headers=as_(client, "others")), 404)
    assert client.delete(f"{SHOES}/1").json()["state"] == "deleting"
    here = context(client)
    assert Worker(here.settings, here.database, "w", lambda: False).run_next("cpu")
    problem(client.get(f"{SHOES}/1"), 404)
    problem(client.delete(f"{SHOES}/1"), 404)
    assert Store.open(context(client).settings.store).keys("team/datasets") == ["team/datasets/shoes/v10/manifest.json"]
    assert client.post(SHOES, json=SPEC).json()["number"] == 2


def test_around_each_point_of_the_map_its_sample_is_listed(shoes: TestClient) -> None:
    points = [point for point in shoes.get(f"{SHOES}/1/map").json()["points"] if point["kind"] != "real"]
    assert {point["kind"] for point in points} == {"kept", "dropped"}
    for point in points[::3]:
        x, y = point["x"], point["y"]
        region = f"{x - 1},{y - 1},{x + 1},{y - 1},{x + 1},{y + 1},{x - 1},{y + 1}"
        listed = {sample["id"]: sample for sample in everything(shoes, region=region)}
        assert (listed[point["id"]]["verdict"], listed[point["id"]]["label"]) == (point["kind"], point["label"])
