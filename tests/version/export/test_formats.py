"""Every format, read back by what others wrote for it. Costs three seconds."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, get_args

import datasets
import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import yaml
from pycocotools import mask as masks
from pycocotools.coco import COCO

from pipelines.errors import ExportError
from pipelines.store.canonical import canonical
from pipelines.store.object_store import ObjectReader, Store
from pipelines.version.export import FORMATS, FormatName
from pipelines.version.export.coco import compressed, run_lengths
from pipelines.version.export.files import PARTS, PIECE, tar
from pipelines.version.export.folder import write as write_export
from pipelines.version.export.names import folder_name
from pipelines.version.export.samples import PublishedVersion, published
from pipelines.version.files import description
from tests.version.export.versions import HOSTILE, patch, photo, row, tree, write

COUNT = 20
ROWS = [row(number, number % len(HOSTILE), patch(number)) for number in range(COUNT)]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> PublishedVersion:
    """Three shards, one of them empty."""
    return write(tmp_path_factory.mktemp("version"), HOSTILE, [ROWS[:9], [], ROWS[9:]])


def exported(version: PublishedVersion, name: FormatName, folder: Path, **options: Any) -> Path:
    write_export(FORMATS[name], version, folder / name, **options)
    return folder / name


def images(folder: Path, suffix: str = "png") -> dict[int, bytes]:
    """The image files below a folder, by the index in their names."""
    return {int(file.name.partition("-")[0]): file.read_bytes() for file in folder.rglob(f"*.{suffix}")}


STORED = {sample["index"]: sample["image"]["bytes"] for sample in ROWS}


def test_the_table_holds_all_formats() -> None:
    assert set(get_args(FormatName)) == set(FORMATS)


def test_an_image_folder_is_loaded_by_datasets_and_its_folders_are_the_classes(
    version: PublishedVersion, tmp_path: Path
) -> None:
    folder = exported(version, "imagefolder", tmp_path)
    assert images(folder) == STORED
    table = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "c"))
    assert [sample["index"] for sample in table] == list(range(COUNT))
    for sample in table:
        number = sample["index"]
        assert np.array_equal(np.asarray(sample["image"]), photo(number))
        assert sample["label"] == HOSTILE[number % len(HOSTILE)]
        assert (sample["group"], sample["seed"]) == (f"group {number}" if number > 7 else "", 2**62 + number)
        assert sample["box"] == ROWS[number]["box"]
    places = {file.parent.name for file in folder.rglob("*.png")}
    assert places == {folder_name(label) for label in HOSTILE}
    assert len(places) == len(HOSTILE)
    assert {file.parent.parent for file in folder.rglob("*.png")} == {folder / "train"}


def test_webdataset_shards_are_bounded_and_loaded_by_datasets(version: PublishedVersion, tmp_path: Path) -> None:
    sample = len(STORED[0]) + 8 * 512
    folder = exported(version, "webdataset", tmp_path, shard_bytes=3 * sample)
    shards = sorted(folder.iterdir())
    assert [shard.name for shard in shards] == [f"train-{number:06d}.tar" for number in range(len(shards))]
    assert len(shards) > 4
    assert all(shard.stat().st_size < 5 * sample for shard in shards)
    table = datasets.load_dataset(
        "webdataset", data_files=str(folder / "*.tar"), split="train", cache_dir=str(tmp_path / "c")
    )
    assert sorted(sample["__key__"] for sample in table) == [f"{number:08d}-0" for number in range(COUNT)]
    for sample in table:
        number = sample["json"]["index"]
        assert np.array_equal(np.asarray(sample["png"]), photo(number))
        assert (sample["cls"], sample["json"]["label"]) == (number % len(HOSTILE), HOSTILE[number % len(HOSTILE)])
        assert sample["json"]["group"] == (f"group {number}" if number > 7 else "")
        assert sample["json"]["box"] == ROWS[number]["box"]


def test_coco_is_read_by_pycocotools_and_its_masks_are_those_that_were_painted(
    version: PublishedVersion, tmp_path: Path
) -> None:
    folder = exported(version, "coco", tmp_path)
    read = COCO(folder / "annotations/instances_train.json")
    assert images(folder) == STORED
    assert [category["name"] for category in read.loadCats(read.getCatIds())] == list(HOSTILE)
    assert len(read.getImgIds()) == COUNT
    for image in read.loadImgs(read.getImgIds()):
        (annotation,) = read.loadAnns(read.getAnnIds(image["id"]))
        number = int(image["file_name"].partition("-")[0])
        assert (image["height"], image["width"]) == photo(number).shape[:2]
        assert (folder / "train" / image["file_name"]).read_bytes() == STORED[number]
        assert annotation["category_id"] == number % len(HOSTILE) + 1
        assert np.array_equal(read.annToMask(annotation), patch(number))
        assert annotation["bbox"] == masks.toBbox(annotation["segmentation"]).tolist() == ROWS[number]["box"]
        assert annotation["area"] == masks.area(annotation["segmentation"]) == patch(number).sum()
        assert (image["neg_category_ids"], image["not_exhaustive_category_ids"]) == ([], read.getCatIds())


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_compressed_as_pycocotools_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 3000, 2)) if seed % 2 else tuple(rng.integers(1, 40, 2))
    mask = rng.random(size) < rng.choice([0.0, 0.001, 0.5, 1.0])
    expected = masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert compressed(run_lengths(mask)) == expected["counts"].decode()


def test_yolo_has_a_label_of_each_image_in_shares_of_it(version: PublishedVersion, tmp_path: Path) -> None:
    folder = exported(version, "yolo", tmp_path)
    facts = yaml.safe_load((folder / "data.yaml").read_text())
    assert facts["names"] == dict(enumerate(HOSTILE))
    assert images(folder / facts["train"]) == STORED
    for number in range(COUNT):
        (line,) = (folder / f"labels/train/{number:08d}-0.txt").read_text().splitlines()
        label, x, y, width, height = (float(part) for part in line.split())
        rows, columns = photo(number).shape[:2]
        box = [(x - width / 2) * columns, (y - height / 2) * rows, width * columns, height * rows]
        assert int(label) == number % len(HOSTILE)
        assert box == pytest.approx(ROWS[number]["box"], abs=1e-3)


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_version_is_the_same_bytes_in_a_folder_and_as_a_tar(
    version: PublishedVersion, name: FormatName, tmp_path: Path
) -> None:
    folder = exported(version, name, tmp_path / "first")
    assert tree(folder) == tree(exported(version, name, tmp_path / "second"))
    data = b"".join(tar(FORMATS[name], version))
    assert data == b"".join(tar(FORMATS[name], version))
    if FORMATS[name].sharded:
        assert data == (folder / "train-000000.tar").read_bytes()
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extractall(tmp_path / "third", filter="data")
    assert tree(tmp_path / "third") == tree(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_begins_before_much_is_read(name: FormatName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a row group of 100 images that is far larger than what is read at a time."""
    large = [row(number, 0, patch(number)) for number in range(100)]
    for number, sample in enumerate(large):
        sample["image"]["bytes"] += np.random.default_rng(number).bytes(400_000)
    version = write(tmp_path, HOSTILE, [large])
    sizes: list[int] = []
    read = ObjectReader.readinto

    def counted(reader: ObjectReader, buffer: Any) -> int:
        sizes.append(read(reader, buffer))
        return sizes[-1]

    monkeypatch.setattr(ObjectReader, "readinto", counted)
    assert len(next(tar(FORMATS[name], version))) >= 2**18
    assert sum(sizes) < (tmp_path / version.files[0]).stat().st_size / 2
    assert max(sizes) < 2**23


@pytest.mark.parametrize("name", ["imagefolder", "coco"])
def test_a_stream_is_never_long_in_one_step(name: FormatName, tmp_path: Path) -> None:
    """A text's size is known once all of its lines are made; meanwhile others have their turn."""
    version = write(tmp_path, HOSTILE, [[row(number, 0, patch(number)) for number in range(1000)]])
    pieces = list(tar(FORMATS[name], version))
    assert pieces.count(b"") >= 1000 // PARTS
    assert max(map(len, pieces)) < 2 * PIECE


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_samples_whose_object_is_not_known_are_left_out(name: FormatName, tmp_path: Path) -> None:
    version = write(tmp_path / "version", ["boot", "shoe"], [[row(0, 0, None), row(1, 1, patch(1)), row(2, 1, None)]])
    version.require_boxes(name)
    assert set(images(exported(version, name, tmp_path))) == {1}
    assert (version.count(), version.count(boxed=True)) == (3, 1)


@pytest.mark.parametrize("name", ["coco", "yolo"])
def test_a_version_without_any_box_says_so(name: FormatName, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"format: '{name}' needs to know where the object is, and no sample"):
        write(tmp_path, ["boot", "shoe"], [[row(0, 0, None)]]).require_boxes(name)


def test_a_version_from_before_there_were_boxes_says_so_and_is_exported_without(tmp_path: Path) -> None:
    new = write(tmp_path / "new", HOSTILE, [ROWS])
    table = pq.read_table(tmp_path / "new" / new.files[0]).drop_columns(["box", "mask", "object_sha256", "lora"])
    store, data = Store.open(tmp_path / "old"), io.BytesIO()
    pq.write_table(table, data)
    store.put("data/a.parquet", data.getvalue())
    store.put("manifest.json", canonical({"files": [description("data/a.parquet", data.getvalue())]}))
    old = published(store)
    for name in ("coco", "yolo"):
        with pytest.raises(ExportError, match="made before there were any; make a new version, or export"):
            old.require_boxes(name)
    folder = exported(old, "imagefolder", tmp_path)
    lines = [json.loads(line) for line in (folder / "train/metadata.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(COUNT))
    assert images(folder) == STORED
    assert len(list(exported(old, "webdataset", tmp_path).iterdir())) == 1


@pytest.mark.parametrize("suffix", ["jpeg", "webp"])
def test_images_of_other_encodings_keep_their_bytes_and_names(suffix: str, tmp_path: Path) -> None:
    part = [row(number, 0, patch(number), suffix) for number in range(3)]
    version = write(tmp_path / "version", ["boot", "shoe"], [part])
    for name in ("imagefolder", "coco", "yolo"):
        assert images(exported(version, name, tmp_path), suffix) == {
            sample["index"]: sample["image"]["bytes"] for sample in part
        }
    folder = exported(version, "webdataset", tmp_path)
    with tarfile.open(folder / "train-000000.tar") as archive:
        assert archive.getnames()[0] == f"00000000-0.{suffix}"
        member = archive.extractfile(f"00000001-0.{suffix}")
        assert member is not None
        with PIL.Image.open(io.BytesIO(member.read())) as image:
            assert image.format == suffix.upper()


def test_samples_that_lie_with_an_earlier_version_are_read_there(tmp_path: Path) -> None:
    """As a refresh leaves them: the manifest names their key. A version that was pulled holds them itself."""
    write(tmp_path / "datasets/shoes/v1", HOSTILE, [ROWS[:9]])
    write(tmp_path / "datasets/shoes/v2", HOSTILE, [ROWS[9:]])
    store, key = Store.open(tmp_path), "datasets/shoes/v2/manifest.json"
    manifest = store.json(key)
    carried = {"path": "data/train-00001-of-00002.parquet", "key": "datasets/shoes/v1/data/train-00000-of-00001.parquet"}
    store.put(key, canonical({**manifest, "files": [carried, *manifest["files"]]}))
    expected = [*range(9, COUNT), *range(9)]
    assert [sample.row["index"] for sample in published(store, "datasets/shoes/v2").samples()] == expected
    pulled = Store.open(tmp_path / "datasets/shoes/v2")
    pulled.put(carried["path"], store.get(carried["key"]))
    assert [sample.row["index"] for sample in published(pulled).samples()] == expected


def test_what_is_not_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="version: it is not published"):
        published(Store.open(tmp_path))


@pytest.mark.parametrize("taken", ["file", "folder"])
def test_what_is_there_is_never_overwritten(version: PublishedVersion, tmp_path: Path, taken: str) -> None:
    target = tmp_path / "imagefolder"
    if taken == "folder":
        target.mkdir()
    (target / "mine.txt" if taken == "folder" else target).write_text("mine")
    with pytest.raises(ExportError, match="is there, and not an empty folder; name another, or remove it"):
        exported(version, "imagefolder", tmp_path)
    assert list(tmp_path.rglob("*.png")) == []


def test_an_empty_folder_stays_the_one_that_it_was(version: PublishedVersion, tmp_path: Path) -> None:
    """It may be mounted, and cannot be replaced then."""
    (tmp_path / "imagefolder").mkdir()
    before = (tmp_path / "imagefolder").stat().st_ino
    folder = exported(version, "imagefolder", tmp_path)
    assert folder.stat().st_ino == before
    assert [place.name for place in folder.iterdir()] == ["train"]
    assert tree(folder) == tree(exported(version, "imagefolder", tmp_path / "new"))


def test_an_export_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    version = write(tmp_path / "version", HOSTILE, [ROWS, ROWS])
    (tmp_path / "version" / version.files[1]).unlink()
    (tmp_path / "out/imagefolder").mkdir(parents=True)  # empty, as it may be
    with pytest.raises(Exception, match="no such file, though the version's manifest names it"):
        exported(version, "imagefolder", tmp_path / "out")
    assert [place.name for place in (tmp_path / "out").iterdir()] == ["imagefolder"]
    assert list((tmp_path / "out/imagefolder").iterdir()) == []


def test_folders_of_classes_are_different_and_safe_everywhere() -> None:
    labels = [*HOSTILE, "a%2Fb", "..", ".", "", " x", "x ", "x.", "con", "nul.txt", "a\\b", "a:b", "\x00", "%", "x" * 100]
    names = [folder_name(label) for label in labels]
    assert len(set(names)) == len(labels)
    for name in names:
        assert 0 < len(name.encode()) <= 255
        assert not set(name) & set('/\\:*?"<>|\x00')
        assert name[0] not in "._ "
        assert name[-1] not in ". "
    assert folder_name("naïve ☂") == "naïve ☂"
