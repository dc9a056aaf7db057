"""Artifacts: made once, the first writer wins, and what an older store holds is still read."""

from pathlib import Path

import pytest

from pipelines.errors import StoreError
from pipelines.store.artifacts import Artifact, Artifacts
from pipelines.store.canonical import digest
from pipelines.store.object_store import Store

FACTS = {"images": ["0" * 64], "seed": 3}


def make(weight: bytes) -> dict[str, bytes]:
    return {"curve.json": b"[1]" + weight, "weights": weight}


def test_an_artifact_is_made_once(tmp_path: Path) -> None:
    artifacts, count = Artifacts(Store.open(tmp_path)), []

    def counted(artifact: Artifact) -> dict[str, bytes]:
        count.append(artifact.digest)
        return make(b"a")

    first = artifacts.get_or_make("token", FACTS, "curve.json", counted)
    assert artifacts.get_or_make("token", FACTS, "curve.json", counted) == first
    assert count == [digest(FACTS)]
    assert first.get("weights") == b"a"
    assert artifacts.get_or_make("token", {**FACTS, "seed": 4}, "curve.json", counted) != first


def test_of_two_workers_whose_floating_point_differs_the_first_wins(tmp_path: Path) -> None:
    """The second finishes without an error, and goes on with what the first has published."""
    artifacts = Artifacts(Store.open(tmp_path))

    def slower(artifact: Artifact) -> dict[str, bytes]:
        artifacts.get_or_make("lora", FACTS, "curve.json", lambda _: make(b"first"))
        return make(b"second")

    taken = artifacts.get_or_make("lora", FACTS, "curve.json", slower)
    assert (taken.get("weights"), taken.get("curve.json")) == (b"first", b"[1]first")


def test_an_artifact_is_complete_when_its_last_file_is_there(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    artifacts = Artifacts(store)
    artifact = artifacts.find("token", FACTS, "curve.json")
    store.put(artifact.key("weights"), b"of a worker that was killed")
    assert not artifact.complete
    again = artifacts.get_or_make("token", FACTS, "curve.json", lambda _: make(b"b"))
    assert again.complete
    assert again.get("weights") == b"of a worker that was killed"


def test_a_checkpoint_is_kept_until_the_work_is_finished(tmp_path: Path) -> None:
    artifacts = Artifacts(Store.open(tmp_path))

    def killed(artifact: Artifact) -> dict[str, bytes]:
        assert artifact.load_checkpoint() is None
        artifact.save_checkpoint(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        artifacts.get_or_make("token", FACTS, "curve.json", killed)
    states = []
    artifacts.get_or_make("token", FACTS, "curve.json", lambda a: (states.append(a.load_checkpoint()), make(b"c"))[1])
    assert states == [b"half"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    artifact = Artifacts(Store.open(tmp_path)).at("token", "0" * 16, "curve.json")
    with pytest.raises(StoreError, match=r"concepts/token/0000000000000000/curve\.json: no such object"):
        artifact.get("curve.json")


def test_what_lies_in_a_store_is_found_where_it_always_lay(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.put(f"concepts/classifier/{digest(FACTS)}/model.safetensors", b"trained long ago")
    artifact = Artifacts(store).get_or_make("classifier", FACTS, "model.safetensors", lambda _: pytest.fail("made again"))
    assert artifact.get("model.safetensors") == b"trained long ago"
