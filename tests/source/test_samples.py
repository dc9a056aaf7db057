"""WebDataset shards as people write them. 1 second."""

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import SourceError
from pipelines.source.decode import decode
from pipelines.source.names import SUFFIXES
from pipelines.source.open import open_source
from pipelines.source.samples import stem
from pipelines.source.source import Source
from pipelines.spec import WebDatasetSource
from tests.source.forms import everywhere, reasons, uploaded
from tests.source.packed import picture, tar

LABELS = ("boot", "shoe")


def shard(image: str = "{}.png", label: str = "{}.cls", key: str = "{:04d}", count: int = 8) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for n in range(count):
        files |= {image.format(key.format(n)): picture(n), label.format(key.format(n)): LABELS[n % 2].encode()}
    return files


def opened(folder: Path, files: dict[str, bytes], **options: Any) -> Source:
    (folder / "a.tar").write_bytes(tar(files))
    return open_source(WebDatasetSource(type="webdataset", path=str(folder), **options))


def images(source: Source) -> set[tuple[str, bytes]]:
    return {(item.label, source.read(item).tobytes()) for items in source.splits.values() for item in items}


@pytest.mark.parametrize(
    "form",
    [
        {"image": "{}.PNG", "label": "{}.CLS"},
        {"image": "{}.input.png"},
        {"image": "{}.image.PNG"},
        {"image": "{}.rgb.png", "label": "{}.label.cls"},
        {"key": "photo.{:04d}"},
        {"key": "v1.2_{:04d}.large"},
        {"key": "set/a.b/{:04d}"},
        {"key": "site.www{:04d}.example"},
    ],
    ids=str,
)
def test_keys_and_members_as_people_name_them(tmp_path: Path, form: dict[str, str]) -> None:
    plain = opened(tmp_path, shard(), max_problems=0)
    source = opened(tmp_path, shard(**form), max_problems=0)
    assert images(source) == images(plain)
    assert source.fingerprint == plain.fingerprint
    sent = uploaded(tmp_path / "store", tar(shard(**form)), max_problems=0)
    assert sent.problems == []
    assert sent.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("key", "parts"),
    [("a/01.input", ("a/01", "input")), ("a/v1.01", ("a/v1.01", "")), ("01", ("01", "")), ("a.b/01", ("a.b/01", ""))],
)
def test_a_member_is_named_by_letters_alone(key: str, parts: tuple[str, str]) -> None:
    assert stem(key) == parts


def test_other_members_of_a_sample_are_not_the_image(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for n in range(8):
        said = json.dumps({"label": LABELS[n % 2], "group": None, "split": ["Train", "dev", "eval"][n % 3]}).encode()
        files |= {
            f"{n}.json": said,
            f"{n}.depth.png": picture(50 + n),
            f"{n}.jpg": picture(n),
            f"{n}.mask.png": picture(90 + n),
        }
    source = opened(tmp_path, files, max_problems=0)
    assert images(source) == {(LABELS[n % 2], decode(picture(n)).tobytes()) for n in range(8)}
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 3, "validation": 3, "test": 2}
    assert {item.group for items in source.splits.values() for item in items} == {None}


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE], ids=["utf-8", "utf-16"])
def test_marks_of_byte_order_are_no_part_of_a_class(tmp_path: Path, mark: bytes) -> None:
    encoding = "utf-8" if mark == codecs.BOM_UTF8 else "utf-16-le"
    files = {}
    for name, data in shard(count=8).items():
        files[name] = mark + (data.decode() + "\n").encode(encoding) if name.endswith("cls") else data
    files |= {"9.png": picture(9), "9.json": mark + '{"label": "boot"}'.encode(encoding)}
    assert opened(tmp_path, files, max_problems=0).classes == LABELS


def test_members_that_lie_apart_are_told_with_how_to_sort(tmp_path: Path) -> None:
    files = sorted(shard().items(), key=lambda file: (not file[0].endswith("png"), file[0]))
    said = r"^source\.path: a\.tar: the class of '0000' lies apart from its image: .* as by tar --sort=name -cf"
    with pytest.raises(SourceError, match=said):
        opened(tmp_path, dict(files))
    source = opened(tmp_path, {**shard(), "x.cls": b"boot"}, max_problems=0.5)
    assert reasons(source)["a.tar/x.cls"].startswith("has no image beside it")


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"label": ["boot"]}, "what stands beside it is no name: ['boot'] is a list"),
        ({"label": " "}, "has an empty class beside it"),
        ({"label": "boot", "split": "extra"}, "split 'extra' is none of train, validation, test"),
    ],
)
def test_what_is_no_name_is_told(tmp_path: Path, facts: dict[str, Any], reason: str) -> None:
    source = opened(tmp_path, {**shard(), "x.png": picture(90), "x.json": json.dumps(facts).encode()}, max_problems=0.5)
    assert reasons(source) == {"a.tar/x.png": reason}


def test_samples_that_were_unpacked_are_read_the_same_in_every_form(tmp_path: Path) -> None:
    files = {f"{('train', 'test')[n % 2]}/{n:02d}.png": picture(n) for n in range(12)}
    files |= {name.replace("png", "cls"): LABELS[n // 2 % 2].encode() for n, name in enumerate(files)}
    files |= {"test/99.json": b"{}", "test/98.png": picture(98), "test/98.json": b'{"label": "boot", "group": "grass"}'}
    source = everywhere(tmp_path, dict(sorted(files.items())))
    assert reasons(source) == {"test/99.json": "suffix '.json' is not one of " + ", ".join(sorted(SUFFIXES))}
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 6, "validation": 0, "test": 7}
    assert [item.group for item in source.of("boot", "test")].count("grass") == 1
