"""Masks and boxes of painted objects from the engine through filters and further attempts into COCO (Gen2Det's use of known
layouts, arXiv 2312.04566). A small version of the bundled model; fifteen seconds."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
from pycocotools.coco import COCO

from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.run import run
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.export import FORMATS
from pipelines.version.export.folder import write
from pipelines.version.export.samples import published
from pipelines.version.plan import read_plan
from tests.builders import spec


def test_what_was_painted_is_what_coco_marks(tmp_path: Path) -> None:
    """Outside its mask every image is its source; boxes and masks are those of the rows that the filters kept."""
    method = {"type": "spurious_removal", "superclass": "shoe", "inversion": None, "majority": 6, "steps": 3}
    asked = spec(
        models={"resolution": 64},
        method=method,
        amount={"per_class": 4},
        filters=[{"type": "quality", "max_seam": 0.12}, {"type": "near_duplicate"}],
        max_attempts=3,
    )
    run(asked, tmp_path / "out", Silent())
    store = Store.open(tmp_path / "out")
    resources = Resources(asked, store, Silent())
    plan = read_plan(store, resources.root)
    assert plan is not None
    kept = {row["index"]: row for row in rows.read_shards(store, resources.root, plan, rejected=False)}
    assert kept
    write(FORMATS["coco"], published(store, resources.root), tmp_path / "coco")
    read = COCO(tmp_path / "coco/annotations/instances_train.json")
    items = {item.id: item for item in resources.source.splits["train"]}
    assert len(read.getImgIds()) == len(kept)
    for image in read.loadImgs(read.getImgIds()):
        (annotation,) = read.loadAnns(read.getAnnIds(image["id"]))
        row = kept[int(image["file_name"].partition("-")[0])]
        mask = read.annToMask(annotation).astype(np.bool_)
        painted = np.asarray(PIL.Image.open(tmp_path / "coco/train" / image["file_name"]).convert("RGB"))
        source = resources.source.read(items[row["source_id"]])
        assert annotation["bbox"] == row["box"]
        assert np.array_equal(mask, np.asarray(PIL.Image.open(io.BytesIO(row["mask"]["bytes"]))))
        assert np.array_equal(painted[~mask], source[~mask])
        assert (painted[mask] != source[mask]).mean() > 0.3
