"""A dataset kept fresh over a real API by a real worker: changed, unchanged, held, promoted, and parts of it removed."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest
from datasets import load_dataset

from pipelines.source.open import open_source
from pipelines.spec import VersionSpec, parse
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from service.client import Client
from service.state import api_keys, versions
from service.versions.schemas import VersionView
from tests.flow.deployment import Deployment, deployed
from tests.servers import free_port
from tests.test_run import SPEC


@dataclass
class Shoes:
    """A folder of shoes, and a service that keeps a dataset of it."""

    deployment: Deployment
    client: Client
    folder: Path

    @property
    def spec(self) -> VersionSpec:
        source = {"type": "folder", "path": str(self.folder / "images")}
        evaluation = {"arms": ["counterpoise"], "seeds": [0]}  # against real images alone, so small a version may be held
        return parse({**SPEC, "source": source, "filters": [], "shard_size": 3, "evaluation": evaluation})

    @property
    def store(self) -> Store:
        return Store.open(f"{self.deployment.settings.store}/team")

    def ended(self, version: VersionView) -> VersionView:
        """Wait for it, as whoever watches does; the test sweeps, as the scheduler does."""
        found = versions.find(self.deployment.database, "team", "shoes", version.number)
        assert found is not None
        self.deployment.watch(found.id, lambda state: VersionView.model_construct(state=state).ended, 600)
        return self.client.version("shoes", version.number)

    def removed(self, number: int) -> None:
        """Wait until a version that is being deleted is gone: its worker was woken."""
        for _ in range(300):
            if versions.find(self.deployment.database, "team", "shoes", number) is None:
                return
            time.sleep(0.1)
        raise AssertionError(f"version {number} is there still")

    def pulled(self, number: int) -> list[dict[str, object]]:
        """The rows of a version as a user loads them."""
        folder = self.folder / f"pulled-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        for _ in self.client.pull("shoes", number, folder):
            pass
        for file in json.loads((folder / "manifest.json").read_text())["files"]:
            assert hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() == file["sha256"]
        found = load_dataset(
            "parquet", data_files=str(folder / "data/*.parquet"), split="train", cache_dir=str(folder / "cache")
        )
        return [dict(row) for row in found.remove_columns("image")]


@pytest.fixture
def shoes(tmp_path: Path) -> Iterator[Shoes]:
    source = open_source(parse(SPEC).source)
    for item in [item for split in ("train", "validation", "test") for item in source.splits[split]]:
        file = tmp_path / "images" / item.id
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(source.read(item)).save(file)
    with deployed(tmp_path) as deployment:
        port = free_port()
        deployment.api(port)
        deployment.start()
        key = api_keys.create(deployment.database, "test", "team", api_keys.SCOPES)
        with Client(f"http://127.0.0.1:{port}", key) as client:
            yield Shoes(deployment, client, tmp_path)


def test_what_changes_is_made_again_what_falls_is_held_and_nothing_that_is_held_elsewhere_is_lost(shoes: Shoes) -> None:
    client = shoes.client
    assert shoes.ended(client.submit(shoes.spec)).state == "completed"
    before = {key: shoes.store.get(key) for key in shoes.store.keys(keys.version("shoes", 1))}
    first = shoes.pulled(1)

    again = shoes.ended(client.refresh("shoes", shoes.spec))
    assert (again.number, again.previous, again.state) == (2, 1, "unchanged")
    assert client.dataset("shoes").latest == 1
    assert shoes.store.keys(keys.version("shoes", 2)) == []

    # As if the latest were perfect: the next will be worse.
    worth = json.loads(shoes.store.get(keys.evaluation(keys.version("shoes", 1))))
    worth["arms"]["counterpoise"]["worst_group"]["mean"] = 1.0
    shoes.store.put(keys.evaluation(keys.version("shoes", 1)), canonical(worth))
    lost = sorted({str(row["source_id"]) for row in first})[0]
    (shoes.folder / "images" / lost).unlink()
    second = shoes.ended(client.refresh("shoes", shoes.spec))
    assert (second.number, second.previous, second.state) == (2, 1, "held")
    hit = [row for row in first if row["source_id"] == lost]
    assert second.counts["carried"] == len(first) - len(hit)
    assert second.counts["planned"] == len(hit)
    rows = {row["index"]: row for row in shoes.pulled(2)}
    assert {index: row for index, row in rows.items() if index in {r["index"] for r in first}} == {
        row["index"]: row for row in first if row not in hit
    }
    assert lost not in {row["source_id"] for row in rows.values()}
    after = {key: shoes.store.get(key) for key in before if not key.endswith("evaluation.json")}
    assert after == {key: value for key, value in before.items() if key in after}

    diff = json.loads((shoes.folder / "pulled-2/diff.json").read_text())
    assert diff["source"] == {"new": 0, "changed": 0, "gone": 1}
    assert diff["samples"] == {"added": len(hit), "carried": len(first) - len(hit), "removed": len(hit), "restored": 0}
    assert diff["before"]["evaluation"]["counterpoise"]["worst_group"] == 1.0
    assert diff["after"]["evaluation"]["counterpoise"]["worst_group"] < 0.95

    shown = client.call("GET", "/v1/datasets/shoes/versions/2/samples", params={"verdict": "kept", "limit": 100})["items"]
    assert {int(each["id"].split("-")[0]) for each in shown} == set(rows)
    for each in shown:
        assert client.download(each["image"], each["image"]).startswith(b"\x89PNG")

    assert client.dataset("shoes").latest == 1
    assert client.promote("shoes", 2).latest == 2
    assert client.version("shoes", 2).state == "completed"
    client.delete("shoes", 1)
    shoes.removed(1)
    assert {row["index"]: row for row in shoes.pulled(2)} == rows
    client.delete("shoes", 2)
    shoes.removed(2)
    assert shoes.store.keys("datasets") == []
