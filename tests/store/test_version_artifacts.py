"""A version's record of its artifacts: the first counts, and what was deleted is found by its facts. Under a second."""

from pathlib import Path

import pytest

from pipelines.store.artifacts import Artifact
from pipelines.store.object_store import Store
from pipelines.store.version_artifacts import VersionArtifacts

RECORD, LAST = "datasets/shoes/v1/learned.json", "curve.json"


def open_artifacts(folder: Path, record: str | None = RECORD) -> VersionArtifacts:
    return VersionArtifacts(Store.open(folder), record)


def token(artifacts: VersionArtifacts, images: str) -> Artifact:
    """The token of boots, which is learned from some images."""
    return artifacts.get_or_make(
        "token/boot", "token", lambda: {"images": [images]}, LAST, lambda _: {LAST: images.encode()}
    )


def test_others_open_what_the_first_has_recorded_whatever_they_would_learn_from(tmp_path: Path) -> None:
    first = open_artifacts(tmp_path)
    learned = token(first, "a")
    assert first.publish()
    other = open_artifacts(tmp_path)
    assert token(other, "b") == learned
    assert other.publish()
    assert (other.used, other.keys) == ({}, [learned.key(LAST)])


def test_where_a_name_is_recorded_no_facts_are_computed(tmp_path: Path) -> None:
    first = open_artifacts(tmp_path)
    learned = token(first, "a")
    first.publish()
    found = open_artifacts(tmp_path).find("token/boot", "token", lambda: pytest.fail("computed"), LAST)
    assert found == learned


def test_the_second_of_two_records_is_none(tmp_path: Path) -> None:
    first, second = open_artifacts(tmp_path), open_artifacts(tmp_path)
    assert first.recorded == second.recorded == {}
    learned = token(first, "a")
    assert token(second, "b") != learned
    assert first.publish()
    assert not second.publish()
    assert token(open_artifacts(tmp_path), "b") == learned


def test_what_was_deleted_is_made_again(tmp_path: Path) -> None:
    first = open_artifacts(tmp_path)
    gone = token(first, "a")
    first.publish()
    gone.store.delete(gone.key(LAST))
    other = open_artifacts(tmp_path)
    assert token(other, "b").get(LAST) == b"b"
    assert other.publish()


def test_without_a_record_everything_is_found_by_its_facts(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path, None)
    token(artifacts, "a")
    assert artifacts.publish()
    assert token(artifacts, "b").get(LAST) == b"b"
    assert artifacts.store.keys("datasets") == []


def test_artifacts_of_a_group_come_by_their_numbers(tmp_path: Path) -> None:
    first = open_artifacts(tmp_path)
    for number in range(11):
        name = f"masks/running shoe/{number}"
        first.get_or_make(name, "masks", lambda n=number: {"n": n}, LAST, lambda _, n=number: {LAST: b"%d" % n})  # type: ignore[misc]
    first.publish()
    found = open_artifacts(tmp_path).recorded_of("masks/running shoe")
    assert [int(artifact.get(LAST)) for artifact in found] == list(range(11))
    assert open_artifacts(tmp_path).recorded_of("masks/running") == []
