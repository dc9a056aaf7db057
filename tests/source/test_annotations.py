"""Classes, groups and splits from tables: beside images and in Parquet, the same in every form of a source. 2 seconds."""

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import SourceError
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import ParquetSource
from tests.source.forms import classes, everywhere, folder, put, reasons
from tests.source.packed import parquet, picture
from tests.source.test_splits import pictures

Rows = Sequence[Mapping[str, Any]]


def as_csv(rows: Rows, separator: str = ",") -> bytes:
    lines = [separator.join(rows[0])] + [separator.join(str(value) for value in row.values()) for row in rows]
    return "\r\n".join(lines).encode()


def as_jsonl(rows: Rows) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


TABLES: dict[str, Callable[[Rows], bytes]] = {
    "metadata.csv": lambda rows: as_csv(rows, ", "),
    "Metadata.CSV": lambda rows: b"\xef\xbb\xbf" + as_csv(rows, ";"),
    "labels.csv": lambda rows: as_csv(rows).decode().encode("utf-16"),
    "labels.tsv": lambda rows: as_csv(rows, "\t"),
    "metadata.jsonl": as_jsonl,
    "labels.jsonl": lambda rows: b"\xef\xbb\xbf" + as_jsonl(rows),
    "metadata.parquet": parquet,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_at_the_root_says_everything(tmp_path: Path, name: str) -> None:
    rows = [
        {
            "file_name": f"images\\{n:02d}.png" if n % 2 else f"./images/{n:02d}.png",
            "label": ("boot", "shoe")[n % 2],
            "group": ("grass", "")[n % 3 == 0],
            "split": ("Train", "val", "testing")[n % 3],
            "photographer": "me",
        }
        for n in range(12)
    ]
    source = everywhere(tmp_path, {f"images/{n:02d}.png": picture(n) for n in range(12)} | {name: TABLES[name](rows)})
    assert source.problems == []
    for split in ("train", "validation", "test"):
        assert classes(source, split) == {"boot": 2, "shoe": 2}
    assert {item.group for item in source.splits["train"]} == {None}
    assert {item.group for item in source.splits["test"]} == {"grass"}


def test_a_table_beside_the_images_of_a_split(tmp_path: Path) -> None:
    """Hugging Face's layout: train/metadata.csv beside train/0.png."""
    files = {f"{split}/{n}.png": picture(100 * k + n) for k, split in enumerate(("train", "test")) for n in range(6)}
    rows = [{"file_name": f"{n}.png", "label": n % 2, "text": "a shoe"} for n in range(6)]
    files |= {f"{split}/metadata.jsonl": as_jsonl(rows) for split in ("train", "test")}
    source = everywhere(tmp_path, files)
    assert source.problems == []
    assert classes(source, "train") == classes(source, "test") == {"0": 3, "1": 3}


def test_a_table_has_the_word_before_folders_and_the_nearest_before_others(tmp_path: Path) -> None:
    files = pictures("train/boot", "train/shoe", each=4)
    files["labels.csv"] = as_csv([{"file_name": "train/boot/0.png", "label": "shoe", "group": "root"}])
    files["train/metadata.csv"] = as_csv([{"file_name": "boot/0.png", "group": "near", "split": "test"}])
    source = everywhere(tmp_path, files)
    assert [(item.id, item.label, item.group) for item in source.splits["test"]] == [("train/boot/0.png", "shoe", "near")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes.csv", b"what,when\nx,y\n", "has no column file_name, but what, when"),
        (
            "captions.jsonl",
            b'{"file_name": "boot/0.png", "text": "a boot"}\n',
            "has none of the columns label, group",
        ),
    ],
)
def test_a_table_of_something_else_is_told(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (problem,) = everywhere(tmp_path, pictures("boot", "shoe") | {name: content}).problems
    assert problem.id == name
    assert problem.reason.startswith(reason)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metadata.csv", b"what,when\nx,y\n", "needs the columns file_name and label, group or split, has what, when"),
        ("metadata.jsonl", b'{"file_name": "boot/0.png"', "cannot be read .*; save it as JSON Lines in UTF-8"),
        ("metadata.jsonl", b"[1]", "line 1 is no object"),
        ("metadata.parquet", b"PAR1", "cannot be read .*; save it as Parquet"),
        (
            "labels.jsonl",
            b'{"file_name": "boot/0.png", "label": ["boot"]}',
            r"column 'label': \['boot'\] is a list",
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(SourceError, match=rf"{name}: .*{said}"):
        folder(put(tmp_path, pictures("boot", "shoe") | {name: content}))


def test_a_split_that_is_none_and_a_row_without_its_image_are_told(tmp_path: Path) -> None:
    rows = [
        {"file_name": "boot/0.png", "split": "extra"},
        {"file_name": "boot/9.png", "split": "test"},
        {"file_name": "shoe/1.png", "split": "train"},
        {"file_name": "shoe\\1.png", "split": "test"},
    ]
    assert reasons(everywhere(tmp_path, pictures("boot", "shoe") | {"metadata.csv": as_csv(rows)})) == {
        "boot/0.png": "split 'extra' is none of train, validation, test",
        "boot/9.png": "is named in metadata.csv, and not there",
        "shoe/1.png": "is named twice in metadata.csv, differently: the first row is used",
    }


# --- columns of Parquet ---------------------------------------------------------------------------------------------


def table(folder: Path, **columns: Any) -> Source:
    data = io.BytesIO()
    base = {"image": [picture(n) for n in range(8)], "label": ["boot", "shoe"] * 4}
    pq.write_table(pa.table({**base, **columns}), data)
    (folder / "a.parquet").write_bytes(data.getvalue())
    return open_source(ParquetSource(type="parquet", path=str(folder), max_problems=1))


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (pa.array([None, "", " ", "grass"] * 2), {None, "grass"}),
        (pa.array([math.nan, 1.0, None, 2.0] * 2), {None, "1", "2"}),
        (pa.array([None] * 8), {None}),
    ],
)
def test_a_missing_group_is_none(tmp_path: Path, values: pa.Array, groups: set[str | None]) -> None:
    source = table(tmp_path, group=values)
    assert {item.group for items in source.splits.values() for item in items} == groups


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("image", ["a.png"] * 8, "'image' is of type string, and cannot be the image: the bytes of files"),
        ("label", [[1]] * 8, r"'label' is of type list<.*>, and cannot be the label: names or integers"),
        ("label", [0.5] * 8, "'label' is of type double, and cannot be the label"),
        ("group", [b"x"] * 8, "'group' is of type binary, and cannot be the group"),
        ("split", [{"a": 1}] * 8, r"'split' is of type struct<.*>, and cannot be the split"),
    ],
)
def test_a_column_that_cannot_be_what_it_is_taken_for_is_told(tmp_path: Path, column: str, values: Any, said: str) -> None:
    with pytest.raises(SourceError, match=rf"a\.parquet: column {said}.*; convert it, or name another column"):
        table(tmp_path, **{column: values})


def test_other_columns_are_no_matter(tmp_path: Path) -> None:
    source = table(
        tmp_path, boxes=[[1.0, 2.0]] * 8, caption=["a"] * 8, label=pa.array(["boot", "shoe"] * 4).dictionary_encode()
    )
    assert source.classes == ("boot", "shoe")


def test_a_class_that_is_no_text_is_told(tmp_path: Path) -> None:
    table = b'{"file_name": "odd.png", "label": "\\ud800"}'
    files = pictures("boot", "shoe") | {"odd.png": picture(900), "metadata.jsonl": table}
    assert reasons(everywhere(tmp_path, files)) == {"odd.png": "its class '\ufffd' is not in UTF-8"}
