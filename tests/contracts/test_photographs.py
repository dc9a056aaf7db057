"""Real photographs, upright and wide, repainted by tiny checkpoints of several families. Costs eight seconds."""

import io
import shutil
from collections.abc import Callable
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from pipelines.builtin.checkpoints import WEIGHTS
from pipelines.job import Job
from pipelines.progress import Silent
from pipelines.records import Frame, Image, Mask
from pipelines.source.decode import decode
from pipelines.source.frames import moved
from pipelines.store.object_store import Store
from pipelines.version import rows
from tests.builders import spec
from tests.checkpoints import build, build_3, build_flux, build_xl
from tests.parts import PHOTOGRAPHS

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "SD": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
    "SD 3": build_3,
    "Flux": build_flux,
}
METHODS: dict[str, dict[str, Any]] = {
    "spurious_removal": {"superclass": "shirt", "objects": "both", "majority": 3, "inversion": None},
    "image_variation": {"superclass": "shirt", "repaint": "object", "strengths": (1.0,)},
}
MOVED = {
    "type": "image_variation",
    "superclass": "shirt",
    "repaint": "surroundings",
    "strengths": (1.0,),
    "grow": 0,
    "recolour": "colour",
    "move": True,
    "templates": ["a {colour} {}"],
    "words": {"colour": ["red"]},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few photographs of two classes."""
    folder = tmp_path_factory.mktemp("photographs")
    for label in ("shirt", "shoes"):
        files = iter(sorted((PHOTOGRAPHS.path() / label).iterdir()))
        for split, count in (("train", 4), ("validation", 1), ("test", 1)):
            (folder / split / label).mkdir(parents=True)
            for file in islice(files, count):
                shutil.copy(file, folder / split / label)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp("checkpoint"))


def version(out: Path, photographs: Path, checkpoint: Path, **changes: Any) -> tuple[Job, list[dict[str, Any]]]:
    """A small version of the photographs, and its rows, dropped ones too."""
    changes["method"] = {"steps": 2, **changes["method"]}
    own = (checkpoint / "unet").exists()  # a UNet's cross-attention gives masks
    models = {"text_to_image": str(checkpoint), "segmenter": "cross-attention" if own else str(WEIGHTS / "segmenter")}
    source = {"type": "folder", "path": str(photographs)}
    job = Job(
        spec(**{"source": source, "models": models, "amount": {"total": 4}, "max_attempts": 1, **changes}),
        Store.open(out), Silent(),
    )  # fmt: skip
    job.check()
    job.learn()
    job.generate([0])
    job.finalize()
    kept, dropped = (rows.read_shards(job.store, job.resources.root, job.plan, rejected=r) for r in (False, True))
    return job, kept + dropped


def region(job: Job, row: dict[str, Any], photograph: Image) -> Mask:
    """Where a row's photograph may have changed, with the few pixels by which a mask that is enlarged may be off."""
    (item,) = (item for item in job.resources.source.splits["train"] if item.id == row["source_id"])
    (mask,) = job.method.regions([item])
    assert mask is not None
    height, width = photograph.shape[:2]
    side = max(height, width)
    large = mask.repeat(side // len(mask) + 1, axis=0).repeat(side // len(mask) + 1, axis=1)
    placed = moved(large, job.resources.view.overview(photograph), Frame(0, 0, len(large)), height, width)
    return binary_dilation(placed[:height, :width], iterations=ceil(2 * side / len(mask)))


@pytest.mark.parametrize("method", METHODS)
def test_a_photograph_keeps_its_size_and_every_pixel_outside_the_region(
    tmp_path: Path, photographs: Path, checkpoint: Path, method: str
) -> None:
    job, made = version(tmp_path, photographs, checkpoint, method={"type": method, **METHODS[method]})
    assert len(made) == 4
    for row in made:
        photograph = decode((photographs / row["source_id"]).read_bytes())
        sample = decode(row["image"], allow_synthetic=True)
        assert sample.shape == photograph.shape
        changed = (sample != photograph).any(axis=2)
        assert changed.any()
        assert not (changed & ~region(job, row, photograph)).any()


def test_an_object_is_moved_within_its_photograph_and_its_mask_with_it(
    tmp_path: Path, photographs: Path, checkpoint: Path
) -> None:
    _, made = version(tmp_path, photographs, checkpoint, method=MOVED)
    assert len(made) == 4
    for row in made:
        sample = decode(row["image"], allow_synthetic=True)
        assert sample.shape == decode((photographs / row["source_id"]).read_bytes()).shape
        mask = np.asarray(PIL.Image.open(io.BytesIO(row["mask"]["bytes"])))
        assert mask.shape == sample.shape[:2]
        red, green, _ = sample[binary_erosion(mask, iterations=4)].astype(int).mean(axis=0)
        assert red > 2 * green, "what the mask says is the object has its new colour"


@pytest.mark.parametrize(("framing", "shape"), [("crop", (32, 32)), ("pad", (32, 24))])
def test_other_framings_give_what_was_painted(
    tmp_path: Path, photographs: Path, checkpoint: Path, framing: str, shape: tuple[int, int]
) -> None:
    method = {"type": "image_variation", "strengths": (0.5,)}
    _, made = version(tmp_path, photographs, checkpoint, method=method, framing=framing)
    for row in made:
        size = decode(row["image"], allow_synthetic=True).shape[:2]
        upright = decode((photographs / row["source_id"]).read_bytes()).shape[:2]
        expected = shape if framing == "crop" else tuple(round(32 * side / max(upright)) for side in upright)
        assert np.abs(np.subtract(size, expected)).max() <= 1


def test_images_from_noise_have_any_size_and_are_evaluated_at_one(
    tmp_path: Path, photographs: Path, checkpoint: Path
) -> None:
    method = {"type": "text_to_image", "width": 48, "height": 40}
    evaluation = {"arms": ["erm", "text_to_image", "counterpoise"], "seeds": [0], "reencode": 1.0}
    job, made = version(
        tmp_path, photographs, checkpoint, method=method, evaluation=evaluation, classifier={"steps": 2, "batch": 4}
    )
    assert {decode(row["image"], allow_synthetic=True).shape for row in made} == {(40, 48, 3)}
    assert set(job.evaluate()["arms"]) == {"erm", "text_to_image", "counterpoise"}
