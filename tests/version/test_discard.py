"""A version is removed from the store, whatever step it is killed in; what others carry stays until they go. 1 s."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.store import keys, object_store
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from pipelines.version.discard import discard
from pipelines.version.plan import Carried, Plan


class Killed(Exception):
    """As a worker is, in the middle."""


def made(store: Store, number: int, *carried: str, whole: bool = True) -> None:
    """A published version of two shards, which carries data files of others."""
    root = keys.version("shoes", number)
    parts = tuple(Carried(key, (0, 1, 1), {"boot": 1}, whole=whole) for key in carried)
    store.put(keys.plan(root), canonical(Plan("", "", (), 1, carried=parts).as_json()))
    for file in ("data/train-0.parquet", "data/train-1.parquet", "rejected/train-0.parquet", "spec.json", "manifest.json"):
        store.put(f"{root}/{file}", b"{}")


def data(number: int, shard: int = 0) -> str:
    return f"{keys.version('shoes', number)}/data/train-{shard}.parquet"


def killed_after(steps: int) -> Callable[[], None]:
    """A step that raises the so manieth time."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if taken > steps:
            raise Killed

    return step


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(object_store, "BULK", 1)  # so that each object is a step
    return Store.open(tmp_path)


@pytest.mark.parametrize("steps", range(7))
def test_killed_in_any_step_it_goes_on_and_leaves_what_another_carries(store: Store, steps: int) -> None:
    made(store, 1)
    made(store, 2, data(1))
    with pytest.raises(Killed):
        discard(store, "shoes", 1, lambda: [2], killed_after(steps))
    assert store.exists(keys.manifest(keys.version("shoes", 1))) == (steps == 0)
    discard(store, "shoes", 1, lambda: [1, 2])
    assert store.keys(keys.version("shoes", 1)) == [data(1)]
    discard(store, "shoes", 1, lambda: [2])  # again, as by whoever does not know that it is done
    assert store.keys(keys.version("shoes", 1)) == [data(1)]


@pytest.mark.parametrize("steps", range(9))
def test_killed_in_any_step_it_takes_along_what_it_alone_carried(
    store: Store, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two deletions, too, not only where it looks whether it is to end."""
    made(store, 1)
    made(store, 2, data(1), data(1, 1))
    discard(store, "shoes", 1, lambda: [2])
    assert store.keys(keys.version("shoes", 1)) == [data(1), data(1, 1)]
    delete, step = Store.delete, killed_after(steps)

    def killed(self: Store, key: str) -> None:
        delete(self, key)
        step()

    monkeypatch.setattr(Store, "delete_all", lambda self, keys: [killed(self, key) for key in keys])
    monkeypatch.setattr(Store, "delete", killed)
    try:
        discard(store, "shoes", 2, list)
    except Killed:
        monkeypatch.undo()
        discard(store, "shoes", 2, list)
    assert store.keys("datasets") == []


def test_of_two_that_are_removed_at_a_time_nothing_stays(store: Store) -> None:
    """The second is marked while the first is at work: neither waits for the other."""
    made(store, 1)
    made(store, 2, data(1))

    def others() -> list[int]:
        discard(store, "shoes", 2, list)  # another worker, in between
        return []

    discard(store, "shoes", 1, others)
    assert store.keys("datasets") == []


def test_what_a_version_on_its_way_is_to_write_again_stays(store: Store) -> None:
    made(store, 1)
    made(store, 2, data(1), whole=False)
    store.delete(keys.manifest(keys.version("shoes", 2)))
    discard(store, "shoes", 1, lambda: [2])
    assert store.keys(keys.version("shoes", 1)) == [data(1)]


def test_many_are_deleted_at_once_whether_there_or_not(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    there = [f"a/{number}" for number in range(2500)]
    for key in there:
        store.put(key, b"x")
    store.delete_all([*there[:1500], "a/nowhere", *there[1500:-1], *there[:5]])
    assert store.keys("a") == [there[-1]]
    assert [len(batch) for batch in store.scan("a")] == [1]
    store.delete_all([])
