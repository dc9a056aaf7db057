"""Opening a source: good images are indexed and read as Pillow reads them, bad ones are Problems with a remedy."""

import csv
import hashlib
import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from pipelines.errors import SourceError
from pipelines.records import Image, Item
from pipelines.source.decode import BadImage, decode
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.source.splits import split_loose
from pipelines.source.synthetic_mark import png
from pipelines.spec import FolderSource, SpuriousSource
from tests.builders import noise


def encoded(image: Image, form: str = "PNG", **options: Any) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(image).save(data, form, **options)
    return data.getvalue()


def fill(root: Path, *folders: str, each: int = 5) -> Path:
    """`each` small pictures, all different, in every folder."""
    for number, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for i in range(each):
            (root / folder / f"{i}.png").write_bytes(encoded(noise(100 * number + i, side=6)))
    return root


def opened(root: Path, **options: Any) -> Source:
    return open_source(FolderSource(type="folder", path=str(root), **options))


def named(source: Source, split: str) -> list[tuple[str, str, str | None]]:
    return [(item.id, item.label, item.group) for item in source.splits[split]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "shoes", "train/boot", "train/sneaker", "validation/boot", "test/sneaker", each=2)


# --- what is found --------------------------------------------------------------------------------------------------


def test_splits_and_classes_are_the_names_of_the_folders(folder: Path) -> None:
    source = opened(folder)
    assert source.classes == ("boot", "sneaker")
    assert [item.id for item in source.splits["train"]] == [
        "train/boot/0.png", "train/boot/1.png", "train/sneaker/0.png", "train/sneaker/1.png",
    ]  # fmt: skip
    assert named(source, "validation") == [("validation/boot/0.png", "boot", None), ("validation/boot/1.png", "boot", None)]
    assert [item.id for item in source.of("sneaker")] == ["train/sneaker/0.png", "train/sneaker/1.png"]
    assert [item.id for item in source.of("sneaker", "test")] == ["test/sneaker/0.png", "test/sneaker/1.png"]
    assert source.problems == []
    assert source.truth is None


def test_an_item_is_what_its_file_holds(folder: Path) -> None:
    source = opened(folder)
    for item in source.splits["train"]:
        assert item.sha256 == hashlib.sha256((folder / item.id).read_bytes()).hexdigest()
        assert np.array_equal(source.read(item), np.asarray(PIL.Image.open(folder / item.id)))


def test_without_splits_every_image_falls_into_one_by_its_content(tmp_path: Path) -> None:
    source = opened(fill(tmp_path, "boot", "sneaker", each=60))
    ids = [item.id for split in source.splits.values() for item in split]
    assert sorted(ids) == sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.glob("*/*"))
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 84, "validation": 18, "test": 18}
    for label in source.classes:
        order = [max(item.sha256 for item in source.of(label, split)) for split in ("validation", "train", "test")]
        assert order == sorted(order)


@pytest.mark.parametrize("count", range(3, 12))
def test_every_class_of_three_images_or_more_is_in_every_split(count: int) -> None:
    names = [hashlib.sha256(f"{count} {n}".encode()).hexdigest() for n in range(2 * count)]
    items = [Item(name, name, ("boot", "sneaker")[n % 2], None) for n, name in enumerate(names)]
    found = split_loose(items)
    assert sorted(i.id for split in found.values() for i in split) == sorted(names)
    assert {(split, item.label) for split, its in found.items() for item in its} == {
        (split, label) for split in ("train", "validation", "test") for label in ("boot", "sneaker")
    }
    assert split_loose(items[::-1]).keys() == found.keys()
    assert {s: {i.id for i in its} for s, its in split_loose(items[::-1]).items()} == {
        s: {i.id for i in its} for s, its in found.items()
    }


def hashed(count: int, label: str = "boot") -> list[Item]:
    return [Item(str(n), hashlib.sha256(f"{label} {n}".encode()).hexdigest(), label, None) for n in range(count)]


@pytest.mark.parametrize(("count", "held_out"), [(1, 0), (3, 1), (9, 1), (10, 2), (36, 5), (100, 15), (4000, 600)])
def test_exactly_15_percent_of_a_class_are_held_out_for_each_purpose(count: int, held_out: int) -> None:
    sizes = {split: len(items) for split, items in split_loose(hashed(count)).items()}
    assert sizes == {"train": count - 2 * held_out, "validation": held_out, "test": held_out}


def test_an_added_image_moves_at_most_one_other_into_or_out_of_a_held_out_split() -> None:
    items = hashed(80)
    before = {split: {item.id for item in part} for split, part in split_loose(items[:1]).items()}
    for count in range(2, 80):
        after = {split: {item.id for item in part} for split, part in split_loose(items[:count]).items()}
        for split in ("validation", "test"):
            assert len((before[split] ^ after[split]) - {str(count - 1)}) <= 1
        before = after
    others = split_loose(items + hashed(50, "sneaker"))["test"]
    assert {item.id for item in others if item.label == "boot"} == {item.id for item in split_loose(items)["test"]}


def test_renaming_an_image_does_not_move_it_to_another_split(tmp_path: Path) -> None:
    root = fill(tmp_path, "boot", "sneaker", each=20)
    before = {split: {item.sha256 for item in items} for split, items in opened(root).splits.items()}
    for path in root.glob("*/*.png"):
        path.rename(path.with_name(f"z-{path.name}"))
    assert {split: {item.sha256 for item in items} for split, items in opened(root).splits.items()} == before


@pytest.mark.parametrize("start", ["", "\ufeff"], ids=["plain", "as Excel saves it"])
def test_groups_come_from_the_metadata_of_the_split(folder: Path, start: str) -> None:
    rows = "file_name,group\nboot/0.png,grass\nsneaker/1.png,brick\n"
    (folder / "train/metadata.csv").write_text(start + rows, encoding="utf-8")
    source = opened(folder)
    assert [item.group for item in source.splits["train"]] == ["grass", None, None, "brick"]
    assert {item.group for item in source.splits["validation"]} == {None}


def test_groups_are_read_without_splits_too(tmp_path: Path) -> None:
    root = fill(tmp_path, "boot", "sneaker", each=20)
    with (root / "metadata.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["file_name", "group", "taken"])
        table.writerows([f"{path.parent.name}/{path.name}", f"on {path.stem}", "2024"] for path in root.glob("*/*.png"))
    items = [item for split in opened(root).splits.values() for item in split]
    assert len(items) == 40
    assert all(item.group == f"on {Path(item.id).stem}" for item in items)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name,place\nboot/0.png,grass\n", "needs the columns file_name and label, group or split, has name, place"),
        (b"file_name,group\nboot/0.png,gr\xfcn\n", "save it as CSV in UTF-8"),
    ],
)
def test_metadata_that_cannot_be_read_is_refused(folder: Path, content: bytes, said: str) -> None:
    (folder / "train/metadata.csv").write_bytes(content)
    with pytest.raises(SourceError, match=f"metadata.csv: .*{said}"):
        opened(folder)


# --- what is wrong with it ------------------------------------------------------------------------------------------


def broken_exif() -> bytes:
    """A picture held sideways whose width, in its EXIF, is a text: Pillow raises what no decoder should."""
    fields = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0), struct.pack("<HHI4s", 0x0100, 2, 1, b"x")
    return encoded(noise(0), exif=b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(fields) + bytes(4))


BAD: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "truncated": ("x.png", lambda p: p.write_bytes(encoded(noise(0))[:700]), "damaged image .*; replace it"),
    "truncated jpeg": ("x.jpg", lambda p: p.write_bytes(encoded(noise(0), "JPEG")[:700]), "damaged image .*; replace it"),
    "cut in its header": ("x.png", lambda p: p.write_bytes(encoded(noise(0))[:20]), "image.*; (replace|convert) it"),
    "text": (
        "x.png",
        lambda p: p.write_text("hello"),
        "not a readable PNG, JPEG, WEBP, BMP, GIF, TIFF, AVIF image; convert",
    ),
    "empty": ("x.png", lambda p: p.write_bytes(b""), "not a readable .* image; convert it"),
    "icon by another name": ("x.png", lambda p: p.write_bytes(encoded(noise(0), "ICO")), "not a readable .*; convert it"),
    "icon": ("x.ico", lambda p: p.write_bytes(encoded(noise(0), "ICO")), r"suffix '\.ico' is not one of .*; convert or"),
    "no suffix": ("x", lambda p: p.write_bytes(encoded(noise(0))), "is no image by its name; images lie right below"),
    "broken exif": ("x.png", lambda p: p.write_bytes(broken_exif()), "damaged image .*; replace it"),
    "huge": ("x.png", lambda p: PIL.Image.new("1", (8000, 8000)).save(p), "8000x8000 pixels: more than .*; scale it down"),
    "32 bits": (
        "x.tif",
        lambda p: PIL.Image.fromarray(np.full((6, 6), 0.5, dtype=np.float32)).save(p),
        "pixels of 32 bits, whose range is unknown; save it with 8 or 16 bits a channel",
    ),
    "generated": ("x.png", lambda p: p.write_bytes(png(noise(0), synthetic=True)), "marked as generated: .*; remove it, or"),
    "pipe": ("x.png", lambda p: os.mkfifo(p), "cannot be read .*; make it a readable file, or remove it"),
    "twin": ("x.png", lambda p: p.write_bytes((p.parent / "0.png").read_bytes()), r"repeats train/boot/0\.png"),
    "link to nothing": ("x.png", lambda p: p.symlink_to("nothing.png"), "cannot be read .*; make it a readable file"),
    "link to itself": ("x.png", lambda p: p.symlink_to(p.name), "cannot be read .*; make it a readable file"),
    "link out": ("x.png", lambda p: p.symlink_to(outside(p)), "is a link out of the source's folder; copy the file into it"),
}


def outside(path: Path) -> Path:
    target = path.parents[3] / "secret.png"
    target.write_bytes(encoded(noise(0)))
    return target


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_a_problem_with_its_remedy(folder: Path, kind: str) -> None:
    name, put, reason = BAD[kind]
    put(folder / "train/boot" / name)
    source = opened(folder, max_problems=0.5)
    assert [problem.id for problem in source.problems] == [f"train/boot/{name}"]
    with pytest.raises(BadImage, match=reason):
        raise BadImage(source.problems[0].reason)
    assert len(source.splits["train"]) == 4


def test_a_folder_that_is_a_link_out_of_the_source_gives_nothing(folder: Path) -> None:
    fill(folder.parent, "elsewhere", each=1)
    (folder / "train/bag").symlink_to(folder.parent / "elsewhere")
    source = opened(folder, max_problems=0.5)
    assert [problem.id for problem in source.problems] == ["train/bag"]
    assert "bag" not in source.classes


def test_a_class_without_training_images_cannot_be_tested_on(folder: Path) -> None:
    (folder / "test/bag").mkdir()
    (folder / "test/bag/0.png").write_bytes(encoded(noise(999)))
    source = opened(folder, max_problems=0.5)
    assert source.classes == ("boot", "sneaker")
    assert [(p.id, p.reason) for p in source.problems] == [
        ("test/bag/0.png", "class 'bag' has no training images; add some, or remove it")
    ]
    assert {item.label for items in source.splits.values() for item in items} == {"boot", "sneaker"}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning:PIL")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"])
def test_damage_anywhere_is_told_and_never_crashes(form: str) -> None:
    whole = encoded(noise(0, side=12), form)
    rng = np.random.default_rng(0)
    damaged = [whole[:cut] for cut in range(0, len(whole), 7)]
    for _ in range(150):
        changed = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 3):
            changed[place] = rng.integers(256)
        damaged.append(bytes(changed))
    said = []
    for content in damaged:
        try:
            decode(content)
        except BadImage as error:
            said.append(str(error))
    assert len(said) > len(damaged) / 4
    assert all("; " in each for each in said), "the remedy follows a semicolon"


def test_too_many_bad_images_refuse_the_source_and_name_the_first(folder: Path) -> None:
    for i in range(7):
        (folder / f"train/boot/bad{i}.png").write_bytes(b"no image")
    with pytest.raises(SourceError) as caught:
        opened(folder, max_problems=0.4)
    assert "7 of 15 files" in str(caught.value)
    assert "more than max_problems = 40%" in str(caught.value)
    assert str(caught.value).count("not a readable") == 5
    assert len(opened(folder, max_problems=0.5).problems) == 7


def test_generated_images_are_taken_when_asked_for(folder: Path) -> None:
    (folder / "train/boot/x.png").write_bytes(png(noise(0), synthetic=True))
    source = opened(folder, allow_synthetic=True)
    assert source.problems == []
    assert np.array_equal(source.read(source.splits["train"][2]), noise(0))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.path: .*nowhere is not a folder; give one that holds <class>/"):
        opened(tmp_path / "nowhere")


def test_one_class_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.path: .* needs at least 2 classes .*, and has 1"):
        opened(fill(tmp_path, "train/boot"))


# --- how it is read -------------------------------------------------------------------------------------------------

UPRIGHT: dict[int, Callable[[Image], Image]] = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
    8: lambda x: np.rot90(x, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_camera_held_sideways_still_gives_upright_images(orientation: int) -> None:
    image = noise(0)[:20]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encoded(image, exif=exif)), UPRIGHT[orientation](image))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    data = io.BytesIO()
    PIL.Image.fromarray(noise(0)).convert(mode).save(data, "PNG")
    image = decode(data.getvalue())
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8


# --- fingerprints and built-in sources ------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_content_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = opened(folder).fingerprint
    assert before == opened(folder).fingerprint
    assert before == opened(folder.rename(tmp_path / "moved")).fingerprint


@pytest.mark.parametrize("change", ["pixels", "group", "new"])
def test_any_change_of_the_source_changes_the_fingerprint(folder: Path, change: str) -> None:
    before = opened(folder).fingerprint
    if change == "group":
        (folder / "train/metadata.csv").write_text("file_name,group\nboot/0.png,grass\n")
    else:
        (folder / "train/boot" / ("0.png" if change == "pixels" else "9.png")).write_bytes(encoded(noise(999, 6)))
    assert opened(folder).fingerprint != before


def test_a_built_in_source_is_read_the_same_each_time_with_its_true_masks() -> None:
    spec = SpuriousSource(type="spurious", train=20, validation=8, test=8)
    first, second = open_source(spec), open_source(spec)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint != open_source(spec.model_copy(update={"seed": 1})).fingerprint
    assert first.truth is not None
    for item in first.splits["validation"]:
        assert np.array_equal(first.read(item), second.read(item))
        assert first.read(item).shape == (64, 64, 3)
        assert first.truth(item).shape == (64, 64)
        assert 0.02 < first.truth(item).mean() < 0.7
        assert item.id.startswith(f"validation/{item.label}/")


def test_no_two_items_of_a_built_in_source_are_the_same() -> None:
    source = open_source(SpuriousSource(type="spurious", train=40, validation=8, test=8))
    items = [item for split in source.splits.values() for item in split]
    assert len({item.id for item in items}) == len({item.sha256 for item in items}) == len(items)


def test_what_lies_too_deep_is_said_so_and_hidden_files_are_none(folder: Path) -> None:
    (folder / "train/boot/sub").mkdir()
    (folder / "train/boot/sub/deep.png").write_bytes(encoded(noise(5001, side=6)))
    (folder / "train/boot/.DS_Store").write_bytes(b"x")
    (folder / "train/boot/._0.png").write_bytes(encoded(noise(5000, side=6)))
    (problem,) = opened(folder, max_problems=1).problems
    assert (problem.id, problem.reason) == (
        "train/boot/sub/deep.png", "lies too deep; put it right below its class's folder"
    )  # fmt: skip


def test_a_row_of_metadata_that_names_no_file_is_a_problem(folder: Path) -> None:
    (folder / "train/metadata.csv").write_text("file_name,group\nboot/0.png,grass\nboot/nope.png,grass\n")
    source = opened(folder, max_problems=1)
    assert [(p.id, p.reason.split(";")[0]) for p in source.problems] == [
        ("train/boot/nope.png", "is named in metadata.csv, and not there")
    ]


# --- what is used ---------------------------------------------------------------------------------------------------


def test_shots_takes_as_many_training_images_of_a_class_by_their_content(tmp_path: Path) -> None:
    root = fill(tmp_path / "shoes", "train/boot", "train/sneaker", "validation/boot", "validation/sneaker", each=6)
    everything, few = opened(root), opened(root, shots=2)
    assert few.counts == {"boot": {None: 2}, "sneaker": {None: 2}}
    assert few.splits["validation"] == everything.splits["validation"]
    first = sorted(everything.of("boot"), key=lambda item: item.sha256)[:2]
    assert {item.id for item in few.of("boot")} == {item.id for item in first}
    assert opened(root, shots=9).fingerprint == everything.fingerprint != few.fingerprint


def test_classes_are_those_that_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "shoes", "boot", "sandal", "sneaker")
    assert opened(root, classes=("sandal", "boot")).classes == ("boot", "sandal")
    with pytest.raises(SourceError, match=r"source.classes: 'boots' is no class of .*, which has boot, sandal, sneaker"):
        opened(root, classes=("sandal", "boots"))


def test_like_problems_are_one_line_of_the_summary(folder: Path) -> None:
    for number in range(16):
        (folder / "train" / "boot" / f"{number}.psd").write_bytes(b"8BPS")
    (folder / "train" / "boot" / "cut.png").write_bytes(encoded(noise(1, side=6))[:60])
    _, most, single = opened(folder, max_problems=1).summary
    assert most.startswith("  train/boot/0.psd and 15 more: suffix '.psd' is not one of ")
    assert single.startswith("  train/boot/cut.png: ")


def test_a_path_that_ends_in_a_split_says_that_it_is_split_again(tmp_path: Path) -> None:
    root = fill(tmp_path / "shoes", "train/boot", "train/sneaker", "test/boot", "test/sneaker")
    assert opened(root).notes == []
    (note,) = opened(root / "train").notes
    assert note.startswith("Its path ends in 'train', and these images are split again")
    assert note in opened(root / "train").summary
