"""What the process that learns leaves for the one that finalizes: source images without the object. Five seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.source.open import open_source
from pipelines.store import keys
from pipelines.store.canonical import canonical
from pipelines.store.object_store import Store
from tests.builders import spec

ROOT = keys.version("shoes", 1)
EMPTY = "train/boot/empty.png"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four images of each class, and one with nothing in it."""
    source = open_source(spec().source)
    for label in source.classes:
        for number, item in enumerate(source.of(label)[:4]):
            file = tmp_path / "images/train" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(source.read(item)).save(file)
    PIL.Image.fromarray(np.full((64, 64, 3), 128, dtype=np.uint8)).save(tmp_path / "images" / EMPTY)
    return tmp_path / "images"


def job(images: Path, **changes: Any) -> Job:
    """A process that begins to work on the version."""
    repainted = spec(
        source={"type": "folder", "path": str(images)},
        models={},
        method={"type": "image_variation", "repaint": "object", "superclass": "shoe", "steps": 1, **changes},
        amount={"per_class": 1},
    )
    return Job(repainted, Store.open(images.parent / "store"), Silent())


def test_a_process_that_only_finalizes_knows_what_the_one_that_learned_skipped(images: Path) -> None:
    job(images).learn()
    job(images).generate([0])
    last = job(images)
    manifest = last.finalize()
    assert manifest["counts"]["skipped"] == {"no shoe found": 1}
    problem = {"id": EMPTY, "reason": "no shoe found"}
    assert last.store.json(keys.quality(ROOT))["problems"] == last.store.json(keys.skipped(ROOT)) == [problem]
    assert "skipped.json" in {file["path"] for file in manifest["files"]}
    assert "source image skipped: no shoe found" in last.store.get(keys.card(ROOT)).decode()


def test_of_two_machines_that_skip_other_images_the_first_one_counts(images: Path) -> None:
    other = [{"id": "train/boot/0.png", "reason": "no shoe found"}, {"id": EMPTY, "reason": "no shoe found"}]
    work = job(images)
    assert work.plan.planned == 2
    work.store.put(keys.skipped(ROOT), canonical(other))
    work.learn()
    work.generate([0])
    assert work.finalize()["counts"]["skipped"] == {"no shoe found": 2}


def test_a_spec_that_is_corrected_before_anything_was_generated_skips_by_its_own_word(images: Path) -> None:
    job(images).learn()
    whole = job(images, repaint="whole")
    whole.learn()
    assert whole.store.json(keys.skipped(ROOT)) == []
