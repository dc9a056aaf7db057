"""The store, on a folder and in memory: nothing is ever overwritten by `create`."""

import hashlib
import json
from pathlib import Path

import pytest

from pipelines.errors import StoreError
from pipelines.store.canonical import canonical, canonical_rows, digest, rows_digest
from pipelines.store.object_store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(tmp_path / "new" / "folder" if request.param == "folder" else "memory:///")


def test_what_is_put_is_got(store: Store) -> None:
    store.put("a/b.bin", b"\x00\xff")
    assert store.get("a/b.bin") == b"\x00\xff"
    assert store.exists("a/b.bin")
    store.put("a/b.bin", b"later")
    assert store.get("a/b.bin") == b"later"


def test_create_takes_the_same_bytes_twice(store: Store) -> None:
    store.create("a", b"one")
    store.create("a", b"one")
    assert store.get("a") == b"one"


def test_create_refuses_other_bytes_and_keeps_the_first(store: Store) -> None:
    store.create("a", b"one")
    with pytest.raises(StoreError, match=r"^a: already there with other content.*choose another output"):
        store.create("a", b"two")
    assert store.get("a") == b"one"


def test_what_is_not_there_is_named(store: Store) -> None:
    assert not store.exists("a/b")
    with pytest.raises(StoreError, match=r"^a/b: no such object"):
        store.get("a/b")


def test_keys_are_sorted_and_a_prefix_is_a_whole_folder(store: Store) -> None:
    for key in ("d/v10/x", "d/v1/z", "d/v1/a/b", "d/v1/y", "e"):
        store.put(key, b"")
    assert store.keys("d/v1") == ["d/v1/a/b", "d/v1/y", "d/v1/z"]
    assert store.keys("nowhere") == []
    assert store.folders("d") == ["v1", "v10"]
    assert store.folders("d/v1") == ["a"]
    assert store.folders("nowhere") == []


def test_a_folder_holds_plain_files_that_a_second_store_sees(tmp_path: Path) -> None:
    Store.open(tmp_path / "s").create("a/b.json", canonical({"x": 1}))
    assert json.loads((tmp_path / "s/a/b.json").read_text()) == {"x": 1}
    assert Store.open(tmp_path / "s").json("a/b.json") == {"x": 1}


def test_the_same_value_is_the_same_bytes_in_any_order() -> None:
    value = {"b": [1, 2.5, None], "a": {"é": True}}
    assert canonical(value) == canonical({"a": {"é": True}, "b": [1, 2.5, None]})
    assert json.loads(canonical(value)) == value
    assert "é" in canonical(value).decode()
    assert canonical([1, 2]) != canonical([2, 1])
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(float("nan"))


def test_rows_have_the_digest_of_their_list() -> None:
    rows = [["train", 'bö\u2028ot/"1".png', None], ["test", "\\\x7f\n\x01"]]
    for some in (rows, rows[:1], []):
        assert rows_digest(iter(some)) == digest(some)


def test_lists_of_rows_are_the_bytes_of_their_value() -> None:
    rows = [{"label": "bö\u2028ot", "group": None, "size": 3}, {"id": 'a\\, "b": 1\n'}]
    lists = {"train": rows, "test": rows[:1], "validation": []}
    assert canonical_rows({name: iter(some) for name, some in lists.items()}) == canonical(lists)


def test_a_digest_is_the_start_of_the_sha256() -> None:
    assert digest({"a": 1}) == hashlib.sha256(b'{\n "a": 1\n}\n').hexdigest()[:16]
