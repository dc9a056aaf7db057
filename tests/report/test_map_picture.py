"""The map as a file and as a picture. Two seconds."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.report.embedding_map import FILE, KINDS, EmbeddingMap, encode, read_map
from pipelines.report.map_picture import COLOURS, GREY, SHAPES, legend, picture
from pipelines.store import keys
from pipelines.store.object_store import Store

ROOT = keys.version("shoes", 1)
HOSTILE = '"><script>alert(1)</script>'


def some_map(classes: int = 2, count: int = 60) -> EmbeddingMap:
    rng = np.random.default_rng(0)
    return EmbeddingMap(
        kinds=np.array([KINDS[n % 3] for n in range(count)]),
        ids=np.array([f"{n}-0" for n in range(count)]),
        labels=np.array([HOSTILE if n % classes == 0 else f"class {n % classes}" for n in range(count)]),
        places=np.array([(-1, -1) if n % 3 == 2 else (n // 10, n % 10) for n in range(count)]),
        points=rng.uniform(0, 1000, (count, 2)).astype(np.float32),
        totals={"kept": 900, "dropped": 30, "real": 20},
    )


def test_what_is_written_is_read_with_embeddings_beside_it(tmp_path: Path) -> None:
    drawn, store = some_map(), Store.open(tmp_path)
    embeddings = np.random.default_rng(1).normal(size=(len(drawn), 8)).astype(np.float16)
    assert read_map(store, ROOT) is None
    store.put(keys.report_file(ROOT, FILE), encode(drawn, embeddings))
    read = read_map(store, ROOT)
    assert read is not None
    assert read.totals == drawn.totals
    for name in ("kinds", "ids", "labels", "places", "points"):
        assert (getattr(read, name) == getattr(drawn, name)).all(), name
    stored = pq.read_table(tmp_path / keys.report_file(ROOT, FILE)).column("embedding").to_pylist()
    assert (np.array(stored, np.float16) == embeddings).all()
    assert encode(drawn, embeddings) == encode(drawn, embeddings)


def paths(svg: str) -> list[dict[str, str]]:
    return [dict(path.attrib) for path in ElementTree.fromstring(svg.replace("data-outline ", "")).iter("path")]


@pytest.mark.parametrize("by", ["class", "kind"])
def test_every_point_is_drawn_once_in_the_shape_of_its_kind(by: str) -> None:
    drawn = some_map()
    for highlighted in (None, "class 1"):
        elements = paths(picture(drawn, by, highlighted))  # type: ignore[arg-type]
        for kind, (shape, _) in SHAPES.items():
            own = [path["d"] for path in elements if path["d"].endswith(shape)]
            assert sum(data.count("M") for data in own) == (drawn.kinds == kind).sum()


def test_classes_have_colours_and_one_that_is_highlighted_has_the_only_one() -> None:
    drawn = some_map()
    assert {path["stroke"] for path in paths(picture(drawn))} == set(COLOURS[:2])
    assert {path["stroke"] for path in paths(picture(drawn, highlighted="class 1"))} == {COLOURS[1], GREY}
    entries = legend(some_map(classes=12), "class")
    assert [entry.colour for entry in entries] == [*COLOURS, *[GREY] * 5]
    assert sum(entry.count for entry in entries) == 60
    assert [(entry.name, entry.count) for entry in legend(drawn, "kind")] == [("kept", 20), ("dropped", 20), ("real", 20)]


def test_the_region_is_outlined_and_a_name_that_means_harm_is_text() -> None:
    svg = picture(some_map(), "class", HOSTILE, [(0, 0), (10.5, 0), (10, 1000)])
    outline = ElementTree.fromstring(svg.replace("data-outline ", "")).find("polygon")
    assert outline is not None
    assert outline.attrib["points"] == "0,0 10.5,0 10,1000"
    assert "script" not in svg
    assert "Map of 60 images: 20 kept, 20 dropped, 20 real" in svg
