"""A version that was really made, exported over HTTP. Costs ten seconds, of which it is made in nearly all."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from fastapi.testclient import TestClient

from pipelines.progress import Silent
from pipelines.run import run
from pipelines.source.decode import decode
from pipelines.source.open import open_source
from pipelines.spec import parse
from pipelines.store import keys
from pipelines.version.export import FORMATS, FormatName
from pipelines.version.plan import read_plan
from pipelines.version.rows import read_shards
from tests.service.calls import SHOES, SPEC, as_, context, operated, problem, store
from tests.test_run import SPEC as SMALL

ROOT = keys.version("shoes", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a version of repainted regions, and another, of whole images."""
    folder = tmp_path_factory.mktemp("made")
    plain = {**SMALL, "evaluation": None, "shard_size": 3, "filters": []}
    run(parse(plain), folder / "team", Silent())
    run(parse({**plain, "name": "whole", "method": {"type": "text_to_image", "steps": 2}}), folder / "team", Silent())
    return folder


@pytest.fixture
def shoes(client: TestClient, made: Path) -> TestClient:
    operated(client, store_url=str(made))
    client.post(SHOES, json=SPEC)
    return client


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: file.read() for member in archive if (file := archive.extractfile(member))}


def exported(client: TestClient, name: str) -> dict[str, bytes]:
    answer = client.get(f"{SHOES}/1/export", params={"format": name})
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="shoes-v1-{name}.tar"'
    return members(answer.content)


def kept(client: TestClient) -> list[dict[str, Any]]:
    plan = read_plan(store(client), ROOT)
    assert plan is not None
    return read_shards(store(client), ROOT, plan)


@pytest.mark.parametrize("name", FORMATS)
def test_every_kept_image_is_in_the_tar_as_it_is_stored(shoes: TestClient, name: FormatName) -> None:
    files = exported(shoes, name)
    images = [hashlib.sha256(data).hexdigest() for path, data in files.items() if path.endswith(".png")]
    assert sorted(images) == sorted(hashlib.sha256(row["image"]).hexdigest() for row in kept(shoes))
    assert len(images) == 12


def test_its_masks_are_the_regions_that_were_repainted(shoes: TestClient) -> None:
    """Where no real object was grafted in, a sample is its source image outside of its mask, and another inside."""
    source = open_source(parse(SMALL).source)
    items = {item.id: item for item in source.splits["train"]}
    files, rows = exported(shoes, "coco"), {f"{row['index']:08d}-{row['attempt']}.png": row for row in kept(shoes)}
    document = json.loads(files["annotations/instances_train.json"])
    for image, annotation in zip(document["images"], document["annotations"], strict=True):
        row = rows[image["file_name"]]
        left, top, width, height = annotation["bbox"]
        with PIL.Image.open(io.BytesIO(row["mask"]["bytes"])) as opened:
            mask = np.asarray(opened)
        assert (image["height"], image["width"]) == mask.shape
        assert annotation["bbox"] == row["box"]
        assert mask[top : top + height, left : left + width].sum() == mask.sum() == annotation["area"] > 0
        assert annotation["category_id"] == row["label"] + 1
        assert row["object_id"] is None
        changed = (decode(row["image"], allow_synthetic=True) != source.read(items[row["source_id"]])).any(axis=2)
        assert not (changed & ~mask).any()
        assert changed[mask].mean() > 0.5


def test_a_version_without_boxes_is_refused_where_they_are_needed(shoes: TestClient) -> None:
    shoes.post("/v1/datasets/whole/versions", json={**SPEC, "name": "whole"})
    for name in ("coco", "yolo"):
        answer = problem(shoes.get("/v1/datasets/whole/versions/1/export", params={"format": name}), 422)
        assert answer["errors"][0]["field"] == "format"
        assert "no sample of this version says it" in answer["detail"]
    assert shoes.get("/v1/datasets/whole/versions/1/export", params={"format": "webdataset"}).status_code == 200


def test_what_is_not_published_not_there_or_anothers_is_refused(client: TestClient, shoes: TestClient) -> None:
    assert "version 9" in problem(shoes.get(f"{SHOES}/9/export", params={"format": "coco"}), 404)["detail"]
    problem(shoes.get(f"{SHOES}/1/export", params={"format": "coco"}, headers=as_(shoes, "rival")), 404)
    problem(shoes.get(f"{SHOES}/1/export", params={"format": "voc"}), 422)
    problem(shoes.get(f"{SHOES}/1/export", params={"format": "coco"}, headers=as_(shoes, "team", "submit")), 403)
    shoes.post(SHOES, json=SPEC)
    detail = problem(shoes.get(f"{SHOES}/2/export", params={"format": "coco"}), 409)["detail"]
    assert detail == "version 2 of 'shoes' is queued, and not published; wait for 'completed'"


def test_a_tenant_has_so_many_exports_open(shoes: TestClient) -> None:
    operated(shoes, max_streams=1)
    here = context(shoes)
    with here.streams.hold("team", 1):
        answer = problem(shoes.get(f"{SHOES}/1/export", params={"format": "coco"}), 429)
    assert "1 streams of events or exports are open" in answer["detail"]
    exported(shoes, "coco")
