"""Names as people and systems write them: the same in a folder, sent, and in an archive. 2 seconds."""

import io
import os
import struct
import unicodedata
import zipfile
from pathlib import Path

import pytest

from pipelines.source.open import open_source
from pipelines.source.patterns import matches
from pipelines.spec import FolderSource, ParquetSource, SourceSpec, WebDatasetSource
from pipelines.spec.sources import anchored
from tests.source.forms import classes, everywhere, folder, put, reasons, sent, uploaded
from tests.source.packed import parquet, picture, tar, zipped
from tests.source.test_splits import pictures

LEFT = [
    "Thumbs.db", "boot/Thumbs.db", "boot/desktop.ini", "boot/._0.png", "boot/.DS_Store", "__MACOSX/boot/._0.png",
    ".ipynb_checkpoints/boot/0.png", "boot/.ipynb_checkpoints/0-checkpoint.png", "@eaDir/boot/0.png", "README.md", "LICENSE",
]  # fmt: skip


def test_what_systems_leave_behind_is_nothing(tmp_path: Path) -> None:
    files = pictures("boot", "shoe", each=4) | dict.fromkeys(LEFT, b"left behind")
    source = everywhere(tmp_path, files, max_problems=0)
    assert source.problems == []
    assert sum(map(len, source.splits.values())) == 8


def test_one_class_in_two_forms_of_unicode(tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    files = pictures(f"train/{composed}", "train/bar", f"test/{decomposed}", "test/bar")
    files[f"train/{decomposed}/5.png"] = picture(905)
    source = everywhere(tmp_path, files)
    assert classes(source, "train") == {"bar": 2, composed: 3}
    assert classes(source, "test") == {"bar": 2, composed: 2}


def test_two_files_of_one_name_in_two_forms_of_unicode_are_told(tmp_path: Path) -> None:
    names = [f"train/boot/{unicodedata.normalize(form, 'é')}.png" for form in ("NFC", "NFD")]
    files = pictures("train/boot", "train/shoe") | {name: picture(900 + n) for n, name in enumerate(names)}
    (reason,) = reasons(everywhere(tmp_path, files)).values()
    assert reason.startswith("has the name of another image")


def encoded(files: dict[str, bytes], encoding: str) -> bytes:
    """A zip whose names are in an encoding, and say nothing of it."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for number, (name, content) in enumerate(files.items()):
            archive.writestr(f"{number:0{len(name.encode(encoding))}d}", content)
    return restored(data.getvalue(), [name.encode(encoding) for name in files])


def restored(archive: bytes, names: list[bytes]) -> bytes:
    """The same zip with these names in its local headers and its directory, in turn."""
    changed = bytearray(archive)
    for signature, size, length in ((b"PK\3\4", 30, 26), (b"PK\1\2", 46, 28)):
        at = 0
        for name in names:
            at = archive.index(signature, at)
            assert struct.unpack_from("<H", archive, at + length)[0] == len(name)
            changed[at + size : at + size + len(name)] = name
            at += 4
    return bytes(changed)


@pytest.mark.parametrize(("encoding", "label"), [("utf-8", "靴"), ("cp437", "Stövel"), ("cp850", "grün"), ("utf-8", "café")])
def test_a_zip_that_does_not_say_its_encoding_is_read_where_it_can_be(tmp_path: Path, encoding: str, label: str) -> None:
    source = uploaded(tmp_path, encoded(pictures(label, "shoe", each=4), encoding))
    assert source.classes == tuple(sorted((label, "shoe")))


@pytest.mark.parametrize(("encoding", "label"), [("shift-jis", "長靴"), ("cp1252", "grün"), ("gbk", "靴子")])
def test_a_class_in_an_unknown_encoding_is_told(tmp_path: Path, encoding: str, label: str) -> None:
    files = pictures("boot", "shoe", each=4) | {f"{label}/0.png": picture(999), f"boot/{label}.png": picture(998)}
    source = uploaded(tmp_path, encoded(files, encoding), max_problems=1)
    (reason,) = reasons(source).values()
    assert reason.endswith("is not in UTF-8")
    assert sum(map(len, source.splits.values())) == 9, "the name of a file alone does not matter"


def test_a_folder_in_an_unknown_encoding_is_told_as_in_an_archive(tmp_path: Path) -> None:
    files = pictures("boot", "shoe", each=4) | {os.fsdecode(b"gr\xfcn/0.png"): picture(999)}
    root = put(tmp_path / "shoes", files)
    for source in (folder(root, max_problems=1), sent(root, tmp_path / "sent", max_problems=1)):
        assert reasons(source) == {"gr\ufffdn/0.png": "its class 'gr\ufffdn' is not in UTF-8"}


def test_windows_separators_in_an_archive(tmp_path: Path) -> None:
    files = {name.replace("/", "\\"): data for name, data in pictures("train/boot", "train/shoe", "test/boot").items()}
    for n, archive in enumerate((tar(files), zipped({"train\\": b"", **files}))):
        source = uploaded(tmp_path / str(n), archive)
        assert source.problems == []
        assert source.splits["train"][0].id == "train/boot/0.png"


def test_windows_separators_and_homes_in_a_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put(tmp_path / "home/my/shoes", pictures("boot", "shoe", each=4))
    for path in ("home\\my\\shoes", ".\\home/my\\shoes\\", "~/my/shoes", "~\\my\\shoes"):
        source = anchored(FolderSource(type="folder", path=path), tmp_path)
        assert open_source(source).classes == ("boot", "shoe")


ODD = ["shoes [2024]", "shoes{a}", "shoes{0..3}", "~shoes", "shoes*", "sh?es.tar"]


@pytest.mark.parametrize("name", ODD)
def test_signs_of_patterns_in_the_names_of_folders(tmp_path: Path, name: str) -> None:
    files = pictures("boot [1]", "shoe~{x}", each=4)
    packed = {n.replace("boot [1]/", "boot/").replace("shoe~{x}/", "shoe/"): data for n, data in files.items()}
    rows = [{"image": data, "label": n.split("/")[0]} for n, data in packed.items()]
    put(tmp_path / name, {**files})
    put(tmp_path / f"in/{name}", {"a [1].tar": tar(packed), "a [1].parquet": parquet(rows)})
    assert folder(tmp_path / name).classes == ("boot [1]", "shoe~{x}")
    place = f"{tmp_path}/in/{name}"
    for source in (
        ParquetSource(type="parquet", path=place),
        WebDatasetSource(type="webdataset", path=place),
        WebDatasetSource(type="webdataset", path=f"{place}/a [1].tar"),
    ):
        assert open_source(source).classes == ("boot", "shoe")


def test_braces_are_what_webdataset_takes_them_for(tmp_path: Path) -> None:
    assert [n for n in range(15) if matches("a-{003..012}.tar", f"a-{n:03d}.tar")] == list(range(3, 13))
    assert not matches("a-{003..012}.tar", "a-4.tar")
    assert [name for name in ("train-0.tar", "val-1.tar", "test-0.tar") if matches("{train,v*}-[01].tar", name)] == [
        "train-0.tar", "val-1.tar",
    ]  # fmt: skip
    for n in range(4):
        put(
            tmp_path,
            {f"a-{n}.tar": tar({f"{label}/{n}.png": picture(10 * n + k) for k, label in enumerate(("boot", "shoe"))})},
        )
    source = open_source(WebDatasetSource(type="webdataset", path=f"{tmp_path}/a-{{0..2}}.tar"))
    assert sum(map(len, source.splits.values())) == 6
    assert source.notes == []
    (note,) = open_source(WebDatasetSource(type="webdataset", path=f"{tmp_path}/a-{{0..9}}.tar")).notes
    assert note == "Of a-{0..9}.tar, 6 files are not there: 4, 5, 6."


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_what_systems_leave_behind_beside_and_in_shards(tmp_path: Path, kind: str) -> None:
    source: SourceSpec
    if kind == "tar":
        files = {
            f"{n:02d}.{end}": data
            for n in range(8)
            for end, data in (("png", picture(n)), ("cls", b"ab"[n % 2 : n % 2 + 1]))
        }
        between = {key: data for name, content in files.items() for key, data in ((f"._{name}", b"x"), (name, content))}
        put(tmp_path, {"a.TAR": tar(between)})
        source = WebDatasetSource(type="webdataset", path=str(tmp_path), max_problems=0)
    else:
        put(tmp_path, {"a.parquet": parquet([{"image": picture(n), "label": "ab"[n % 2]} for n in range(8)])})
        source = ParquetSource(type="parquet", path=str(tmp_path), max_problems=0)
    put(tmp_path, dict.fromkeys((f"._a.{kind}", f".ipynb_checkpoints/a.{kind}", f"__MACOSX/a.{kind}", "Thumbs.db"), b"x"))
    opened = open_source(source)
    assert opened.classes == ("a", "b")
    assert sum(map(len, opened.splits.values())) == 8
