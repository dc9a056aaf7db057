"""Splits and classes as people lay them out: the same in a folder, sent, and in an archive. 3 seconds."""

from pathlib import Path

import pytest

from pipelines.errors import SourceError
from pipelines.source.open import open_source
from pipelines.source.splits import split_in, split_of_folder
from pipelines.spec import ParquetSource
from tests.source.forms import classes, everywhere, folder, images, put, reasons
from tests.source.packed import parquet, picture


def pictures(*folders: str, each: int = 2) -> dict[str, bytes]:
    return {f"{name}/{n}.png": picture(100 * k + n) for k, name in enumerate(folders) for n in range(each)}


@pytest.mark.parametrize(
    "names",
    [
        ("Train", "Val", "Test"), ("TRAINING", "valid", "TESTING"), ("train", "dev", "eval"),
        ("training_set", "Validation", "test_set"), ("train", "val2017", "evaluation"),
    ],
)  # fmt: skip
def test_splits_have_many_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    source = everywhere(tmp_path, pictures(*(f"{name}/{label}" for name in names for label in ("boot", "sneaker"))))
    assert source.problems == []
    for split in ("train", "validation", "test"):
        assert classes(source, split) == {"boot": 2, "sneaker": 2}


def test_two_names_of_a_split_are_one(tmp_path: Path) -> None:
    source = everywhere(tmp_path, pictures("train/boot", "train/shoe", "val/boot", "valid/boot"))
    assert classes(source, "validation") == {"boot": 4, "shoe": 0}


def test_files_and_columns_have_the_same_names() -> None:
    assert {split_in(name) for name in ("a/Val-0.tar", "dev.parquet", "VALID", "validation-00000-of-00001")} == {
        "validation"
    }
    assert {split_in(name) for name in ("eval-1.tar", "evaluation", "TESTING.parquet")} == {"test"}
    assert split_in("trains-0.tar") is split_of_folder("trains") is split_of_folder("train tracks") is None


@pytest.mark.parametrize("top", ["", "vehicles/"])
def test_a_class_may_be_called_as_a_split_is(tmp_path: Path, top: str) -> None:
    """CIFAR-100 has a class of trains, and folders of it are called train."""
    source = everywhere(tmp_path, pictures(f"{top}plane", f"{top}train", f"{top}test", each=10))
    assert source.classes == ("plane", "test", "train")
    assert classes(source, "validation") == classes(source, "test") == {"plane": 2, "test": 2, "train": 2}


def test_a_class_may_be_called_as_its_split_is(tmp_path: Path) -> None:
    source = everywhere(tmp_path, pictures("train/train", "train/plane", "test/train", "test/plane"))
    assert classes(source, "train") == classes(source, "test") == {"plane": 2, "train": 2}


def test_folders_around_the_whole_do_not_matter(tmp_path: Path) -> None:
    source = everywhere(tmp_path, pictures("data/shoes/train/boot", "data/shoes/train/shoe", "data/shoes/test/boot"))
    assert classes(source, "train") == {"boot": 2, "shoe": 2}
    assert classes(source, "test") == {"boot": 2, "shoe": 0}


def test_a_folder_beside_the_splits_is_told_once(tmp_path: Path) -> None:
    source = everywhere(tmp_path, pictures("train/boot", "train/shoe", "extra/boot", "extra/shoe"))
    assert reasons(source) == {"extra": "is none of train, validation, test: left out"}
    assert sum(map(len, source.splits.values())) == 4


def test_what_lies_elsewhere_is_told(tmp_path: Path) -> None:
    files = pictures("train/boot", "train/shoe", "train/boot/left", "train", "", each=1)
    source = everywhere(tmp_path, {name.lstrip("/"): data for name, data in files.items()})
    assert reasons(source) == {
        "0.png": "lies in no class's folder",
        "train/0.png": "lies in no class's folder",
        "train/boot/left/0.png": "lies too deep",
    }


def test_splits_without_classes_are_no_classes(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"needs at least 2 classes .* lies in no class's folder; put it into class/"):
        folder(put(tmp_path, pictures("train", "test")))


def test_a_class_of_one_image_trains(tmp_path: Path) -> None:
    source = everywhere(tmp_path, pictures("boot", each=20) | {"sandal/0.png": picture(900), "shoe/0.png": picture(901)})
    assert classes(source, "train") == {"boot": 14, "sandal": 1, "shoe": 1}
    assert classes(source, "validation") == classes(source, "test") == {"boot": 3, "sandal": 0, "shoe": 0}


def test_a_validation_split_is_cut_from_train_on_request(tmp_path: Path) -> None:
    files = pictures("train/boot", "train/shoe", "test/boot", "test/shoe", each=10) | {"train/rare/0.png": picture(999)}
    plain, cut = everywhere(tmp_path / "a", files), everywhere(tmp_path / "b", files, validation_share=0.2)
    assert classes(plain, "validation") == {"boot": 0, "rare": 0, "shoe": 0}
    assert classes(cut, "validation") == {"boot": 2, "rare": 0, "shoe": 2}
    assert classes(cut, "train") == {"boot": 8, "rare": 1, "shoe": 8}
    assert images(cut)["test"] == images(plain)["test"]
    first = sorted(plain.of("boot"), key=lambda item: item.sha256)[:2]
    assert {item.id for item in cut.of("boot", "validation")} == {item.id for item in first}
    with pytest.raises(SourceError, match=r"source.validation_share: .* has 10 validation images of its own; leave it out"):
        folder(
            put(tmp_path / "c", {**files, **pictures("1", "2", "3", "4", "val/boot", each=10)}),
            validation_share=0.2,
            max_problems=1,
        )


def test_parquet_shards_of_train_and_test_alone_are_cut_too(tmp_path: Path) -> None:
    for split, start in (("Train", 0), ("Testing", 50)):
        rows = [{"image": picture(start + n), "label": ("boot", "shoe")[n % 2]} for n in range(20)]
        (tmp_path / f"{split}-0.parquet").write_bytes(parquet(rows))
    source = open_source(ParquetSource(type="parquet", path=str(tmp_path), validation_share=0.15))
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 16, "validation": 4, "test": 20}
    (tmp_path / "more.parquet").write_bytes(parquet([{"image": picture(90), "label": "boot"}]))
    (note,) = open_source(ParquetSource(type="parquet", path=str(tmp_path))).notes
    assert note.startswith("No split is in the name of more.parquet, of 1 file in all")


def test_of_two_copies_the_one_that_trains_is_used_in_whatever_order(tmp_path: Path) -> None:
    files = pictures("test/shoe", "train/boot", "train/shoe", "test/boot")
    files["test/boot/copy.png"] = files["train/boot/0.png"]
    files["train/boot/copy.png"] = files["train/shoe/1.png"]
    source = everywhere(tmp_path, files)
    assert source.summary[1].startswith("Repeated in another split, to the byte: 1 image,")
    assert reasons(source) == {
        "test/boot/copy.png": "repeats train/boot/0.png, in another split",
        "train/shoe/1.png": "is also in class 'boot' as train/boot/copy.png",
    }
