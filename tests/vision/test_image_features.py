"""Rows of images are computed once, in parts. Under a second."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.progress import SILENT
from pipelines.records import Item
from pipelines.store.artifacts import Artifact, Artifacts, learned_from
from pipelines.store.object_store import Store
from pipelines.vision import image_features as module
from pipelines.vision.image_features import FACTS, image_features, stored_features

ITEMS = [Item(f"{number}.png", f"{number:064}", "boot", None) for number in range(10)]


class Numbers:
    """A feature of which another machine has another value; how many images each call was given."""

    def __init__(self, machine: float = 0, fail_at: int | None = None) -> None:
        self.machine, self.fail_at, self.calls = machine, fail_at, list[int]()

    def __call__(self, items: Sequence[Item]) -> NDArray[np.float64]:
        if self.fail_at is not None and items[0] == ITEMS[self.fail_at]:
            raise KeyboardInterrupt
        self.calls.append(len(items))
        return np.array([[int(item.sha256) + self.machine] for item in items])


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setattr(module, "PART", 4)
    monkeypatch.setattr(module, "BATCH", 3)
    return Artifacts(Store.open(tmp_path)).find("ranking", facts(), FACTS)


def facts() -> dict[str, object]:
    return {"images": [item.sha256 for item in ITEMS]}


def features(artifact: Artifact, compute: Numbers) -> list[float]:
    rows = image_features(artifact, facts, ITEMS, compute, lambda: SILENT.stage("read", len(ITEMS)))
    return [float(value) for value in rows[:, 0]]


def test_they_are_computed_once_a_few_images_at_a_time(artifact: Artifact) -> None:
    first, second = Numbers(), Numbers(0.5)
    assert features(artifact, first) == features(artifact, second) == list(range(10))
    assert (first.calls, second.calls) == ([3, 1, 3, 1, 2], [])
    images, rows = stored_features(artifact)
    assert images == [item.sha256 for item in ITEMS]
    assert rows[:, 0].tolist() == list(range(10))


def test_whoever_goes_on_computes_only_what_is_missing(artifact: Artifact) -> None:
    with pytest.raises(KeyboardInterrupt):
        features(artifact, Numbers(fail_at=7))
    assert not artifact.complete
    heir = Numbers(0.5)
    assert features(artifact, heir) == [0, 1, 2, 3, *(n + 0.5 for n in range(4, 10))]
    assert heir.calls == [3, 1, 2]


def test_of_two_that_compute_a_part_the_first_wins(artifact: Artifact) -> None:
    class Slower(Numbers):
        def __call__(self, items: Sequence[Item]) -> NDArray[np.float64]:
            if not self.calls:
                features(artifact, Numbers())
            return super().__call__(items)

    assert features(artifact, Slower(0.5)) == list(range(10))


def test_they_go_with_any_of_their_images(artifact: Artifact) -> None:
    features(artifact, Numbers())
    assert learned_from(artifact.store, [ITEMS[9].sha256]) == [artifact.key("").rstrip("/")]
    assert learned_from(artifact.store, ["f" * 64]) == []
