"""Parquet files and WebDataset tars: read as what they are, the same however packed, each bad image told by its place."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import SourceError
from pipelines.source.decode import decode
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import ParquetSource, WebDatasetSource
from tests.builders import noise
from tests.source.packed import BAD, parquet, picture, tar

CLASSES = ("boot", "sneaker")
PICTURES = {f"{label}-{n}": picture(100 * k + n) for k, label in enumerate(CLASSES) for n in range(12)}


def opened(path: Path, **options: Any) -> Source:
    return open_source(ParquetSource(type="parquet", path=str(path), **options))


def unpacked(path: Path, **options: Any) -> Source:
    return open_source(WebDatasetSource(type="webdataset", path=str(path), **options))


def rows(pictures: Mapping[str, bytes] = PICTURES, **more: Any) -> list[dict[str, Any]]:
    return [{"image": {"bytes": data, "path": None}, "label": name.split("-")[0], **more} for name, data in pictures.items()]


def samples(pictures: Mapping[str, bytes] = PICTURES) -> dict[str, bytes]:
    """Every other one labelled by .cls, the rest by .json."""
    files: dict[str, bytes] = {}
    for n, (name, data) in enumerate(pictures.items()):
        label = name.split("-")[0]
        says = json.dumps({"label": label, "group": "grass"}).encode()
        files |= {f"{n:04d}.png": data} | ({f"{n:04d}.cls": label.encode()} if n % 2 else {f"{n:04d}.json": says})
    return files


def beside(pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """All labelled by .cls."""
    named = enumerate(pictures.items())
    return {f"{n}.{k}": v for n, (name, data) in named for k, v in (("png", data), ("cls", name.split("-")[0].encode()))}


def pixels(source: Source) -> set[tuple[str, bytes]]:
    return {(item.label, source.read(item).tobytes()) for items in source.splits.values() for item in items}


def everything(source: Source) -> set[tuple[str, bytes]]:
    return {(name.split("-")[0], decode(data).tobytes()) for name, data in PICTURES.items()}


def some(pictures: Mapping[str, bytes], part: Sequence[str]) -> dict[str, bytes]:
    return {name: pictures[name] for name in part}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shards").mkdir()
    return tmp_path / "shards"


# --- what is found --------------------------------------------------------------------------------------------------


def test_every_image_is_read_with_its_class_in_whatever_order(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(parquet(rows(), row_group_size=5))
    (folder / "a.tar").write_bytes(tar(samples()))
    for source in (opened(folder), unpacked(folder)):
        assert source.classes == CLASSES
        assert source.problems == []
        assert pixels(source) == everything(source)
        mixed = [item for items in source.splits.values() for item in items][::-1]
        assert len({source.read(item).tobytes() for item in mixed}) == len(PICTURES)
        assert all(source.splits.values())


def test_the_same_images_packed_otherwise_are_the_same_source(folder: Path, tmp_path: Path) -> None:
    """Other files, another order, another format: one fingerprint, so what was learned is found again."""
    (folder / "a.parquet").write_bytes(parquet(rows()))
    first, names = opened(folder), sorted(PICTURES, reverse=True)
    for kind in ("parquet", "tar"):
        (tmp_path / kind).mkdir()
    for n in range(3):
        part = some(PICTURES, names[n::3])
        (tmp_path / f"parquet/{n}.parquet").write_bytes(parquet(rows(part)))
        (tmp_path / f"tar/{n}.tar").write_bytes(tar(beside(part)))
    assert opened(tmp_path / "parquet").fingerprint == first.fingerprint
    assert unpacked(tmp_path / "tar").fingerprint == first.fingerprint
    (folder / "a.parquet").write_bytes(parquet(rows({**PICTURES, "boot-0": picture(999)})))
    assert opened(folder).fingerprint != first.fingerprint


def test_hugging_faces_own_files_are_understood(folder: Path) -> None:
    """ClassLabel's numbers, an Image column, groups by another name."""
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "kind": datasets.ClassLabel(names=["sneaker", "boot"]),
            "scene": datasets.Value("string"),
        }
    )
    made = [{"picture": {"bytes": d, "path": None}, "kind": n.split("-")[0], "scene": "grass"} for n, d in PICTURES.items()]
    datasets.Dataset.from_list(made, features=features).to_parquet(str(folder / "train-00000-of-00001.parquet"))
    source = opened(folder, image="picture", label="kind", group="scene")
    assert pixels(source) == everything(source)
    assert {item.group for item in source.splits["train"]} == {"grass"}


def test_splits_come_from_a_column_or_from_the_names_of_the_files(folder: Path) -> None:
    names = list(PICTURES)
    parts = {"train": names[::2], "val": names[1::4], "test": names[3::4]}
    for split, part in parts.items():
        (folder / f"{split}-00000.parquet").write_bytes(parquet(rows(some(PICTURES, part))))
        (folder / f"{split}-00000.tar").write_bytes(tar(samples(some(PICTURES, part))))
    (folder / "in").mkdir()
    one = [row for split, part in parts.items() for row in rows(some(PICTURES, part), split=split)]
    (folder / "in/one.parquet").write_bytes(parquet(one))
    for source in (opened(folder / "*.parquet"), unpacked(folder), opened(folder / "in")):
        assert {split: len(items) for split, items in source.splits.items()} == {"train": 12, "validation": 6, "test": 6}
    train = opened(folder / "train-*.parquet").splits
    assert sum(map(len, train.values())) == 12
    assert all(train.values()), "one split alone is divided"


def test_an_unknown_split_is_told(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(parquet([*rows(split="train"), *rows({"boot-x": picture(999)}, split="extra")]))
    (problem,) = opened(folder).problems
    assert problem.id == f"a.parquet/row {len(PICTURES)}"
    assert "split 'extra' is none of train, validation, test" in problem.reason


def test_groups_lie_beside_images(folder: Path) -> None:
    (folder / "a.tar").write_bytes(tar(samples()))
    groups = [item.group for items in unpacked(folder).splits.values() for item in items]
    assert (groups.count("grass"), groups.count(None)) == (12, 12)


def test_a_tar_of_class_folders_is_a_source_too(folder: Path) -> None:
    (folder / "a.tar").write_bytes(tar({f"{name.split('-')[0]}/{name}.png": data for name, data in PICTURES.items()}))
    assert pixels(unpacked(folder)) == everything(unpacked(folder))


# --- what is wrong with it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_a_problem_with_its_place_and_reason(folder: Path, kind: str) -> None:
    data, said = BAD[kind]
    (folder / "a.parquet").write_bytes(parquet(rows({**PICTURES, "boot-bad": data})))
    (folder / "a.tar").write_bytes(tar(samples({**PICTURES, "boot-bad": data})))
    for source, place in ((opened(folder), f"row {len(PICTURES)}"), (unpacked(folder), f"{len(PICTURES):04d}.png")):
        (problem,) = source.problems
        assert problem.id.endswith(f"/{place}")
        assert said in problem.reason
        assert pixels(source) == everything(source)


def test_a_pickle_a_link_and_a_path_out_of_the_tar_are_refused_each_by_itself(folder: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(ran),)

    files = {**samples(), "0000x.png": picture(990), "0000x.cls": b"boot", "0000x.pyd": pickle.dumps(Evil())}
    data = io.BytesIO(
        tar(files | {"../../etc/boot/x.png": picture(991), "/etc/boot/y.png": picture(992), "alone.png": picture(993)})
    )
    with tarfile.open(fileobj=data, mode="a") as archive:
        link = tarfile.TarInfo("boot/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (folder / "a.tar").write_bytes(data.getvalue())
    source = unpacked(folder, max_problems=0.5)
    assert {p.id: p.reason.split("; ")[0] for p in source.problems} == {
        "a.tar/0000x.pyd": "a pickle can run code and is never opened",
        "a.tar/../../etc/boot/x.png": "its path leaves the archive",
        "a.tar//etc/boot/y.png": "its path leaves the archive",
        "a.tar/alone.png": "lies in no class's folder",
        "a.tar/boot/link.png": "is a link or a device",
    }
    assert not ran.exists()
    assert len(pixels(source)) == len(PICTURES) + 1


def test_an_image_that_is_there_twice_is_taken_once_across_files(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(parquet(rows()))
    (folder / "b.parquet").write_bytes(parquet([rows()[0], {**rows()[1], "label": "sneaker"}]))
    said = {problem.id: problem.reason for problem in opened(folder).problems}
    assert said == {
        "b.parquet/row 0": "repeats a.parquet/row 0",
        "b.parquet/row 1": "is also in class 'boot' as a.parquet/row 1; decide for one class",
    }


@pytest.mark.parametrize("label", [None, -1, 2])
def test_a_row_without_a_class_is_a_problem(folder: Path, label: int | None) -> None:
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}
    made = [*rows(), {"image": {"bytes": picture(999), "path": None}, "label": "boot"}]
    table = datasets.Dataset.from_list(made, features=datasets.Features(features)).with_format("arrow")[:]
    labels = pa.array([*table["label"].to_pylist()[:-1], label], pa.int64())
    pq.write_table(table.set_column(1, table.schema.field("label"), labels), folder / "a.parquet")
    (problem,) = opened(folder).problems
    assert problem.id == f"a.parquet/row {len(PICTURES)}"
    assert problem.reason.startswith("has no label")


@pytest.mark.parametrize("cut", [0, 3, 700, 3072, -9000], ids=["empty", "head", "middle", "between", "end"])
@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_a_damaged_file_is_named(folder: Path, kind: str, cut: int) -> None:
    """Half a file is no source: what it does not say would be missing silently."""
    whole = parquet(rows()) if kind == "parquet" else tar(samples())
    (folder / f"a.{kind}").write_bytes(whole)
    (folder / f"b.{kind}").write_bytes(whole[:cut])
    with pytest.raises(SourceError, match=rf"^source\.path: b\.{kind}: (not a readable|damaged)"):
        (opened if kind == "parquet" else unpacked)(folder, max_problems=1)


def test_columns_that_are_not_there_are_told_with_those_that_are(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(parquet(rows(scene="grass")))
    with pytest.raises(
        SourceError, match=r"^source\.path: a\.parquet has no column 'kind' for the label; it has image, label, scene"
    ):
        opened(folder, label="kind")
    with pytest.raises(SourceError, match="has no column 'place' for the group"):
        opened(folder, group="place")


@pytest.mark.parametrize("path", ["nowhere", "nowhere/*.parquet", "*.txt", "none-*.parquet"])
def test_files_that_are_not_there_are_named(folder: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"^source\.path: .*(is not a folder|names no \*\.parquet file); give "):
        opened(folder / path)


def test_a_file_that_is_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes(parquet(rows()))
    (folder / "a.parquet").symlink_to(tmp_path / "secret.parquet")
    with pytest.raises(SourceError, match=r"a\.parquet is a link out of the source's folder"):
        opened(folder)


def test_a_file_too_large_in_a_tar_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.source.tars.MAX_FILE", 2000)
    (folder / "a.tar").write_bytes(tar({**samples(), "film.mp4": bytes(3000)}))
    (problem,) = unpacked(folder).problems
    assert problem.id == "a.tar/film.mp4"
    assert problem.reason.startswith("larger than")


MEASURED = """
import resource, sys
from pipelines.source.open import open_source
from pipelines.spec import ParquetSource, WebDatasetSource

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kind = {"parquet": ParquetSource, "webdataset": WebDatasetSource}[sys.argv[1]]
source = open_source(kind(type=sys.argv[1], path=sys.argv[2]))
count = sum(source.read(item).shape[2] == 3 for items in source.splits.values() for item in items)
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_memory_does_not_grow_with_the_source(folder: Path, kind: str) -> None:
    """120 pictures of a megabyte, in one row group or one tar, are indexed and read within a few of them."""
    pictures = {}
    for n in range(120):
        data = io.BytesIO()
        PIL.Image.fromarray(noise(n, 580)).save(data, "BMP")
        pictures[f"{CLASSES[n % 2]}-{n}"] = data.getvalue()
    if kind == "parquet":
        (folder / "a.parquet").write_bytes(parquet(rows(pictures), compression="none", use_dictionary=False))
    else:
        (folder / "a.tar").write_bytes(tar(beside(pictures)))
    done = subprocess.run([sys.executable, "-c", MEASURED, kind, folder], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == 120
    assert grown < 60, f"{grown} MiB for 120 MiB of pictures"
