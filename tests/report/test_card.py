"""The card and the Croissant description, held against the libraries that read them."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import datasets
import mlcroissant as mlc
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard
from PIL import Image as Pillow

from pipelines.report.card import COLUMNS, card
from pipelines.report.croissant import croissant
from pipelines.spec import VersionSpec, parse
from pipelines.version.rows import features

CLASSES = ["boot", "sneaker"]
HOSTILE = "<script>alert(1)</script> | `x` [y](z)\n# head"
COUNTS: dict[str, Any] = {
    "planned": 4, "generated": 7, "kept": 4, "dropped": 3,
    "reasons": {"quality: blurred": 1, "attribution: not seen": 2}, "skipped": {"segmenter: nothing found": 5},
    "labels": {"boot": 3, "sneaker": 1},
}  # fmt: skip


def spread(mean: float) -> dict[str, Any]:
    return {"mean": mean, "std": 0.01, "values": [mean - 0.01, mean + 0.01]}


QUALITY = {
    "arms": {name: {"average": spread(0.8), "worst_group": spread(worst), "groups": {}}
             for name, worst in (("erm", 0.41), ("counterpoise", 0.79))},
    "gap_closed": None,
    "probe_auc": 0.58,
    "mean_scores": {"quality.sharpness": 0.01234},
}  # fmt: skip


def spec(**changes: Any) -> VersionSpec:
    return parse({
        "name": "shoes",
        "source": {"type": "spurious"},
        "method": {"type": "spurious_removal", "superclass": "shoe"},
        "amount": {"per_class": 2},
        "filters": [{"type": "quality", "min_contrast": 0.0725}, {"type": "near_duplicate"}],
        "seed": 77,
        **changes,
    })  # fmt: skip


def front_matter(text: str) -> dict[str, Any]:
    data: Any = DatasetCard(text).data
    return dict(data.to_dict())


def row(index: int) -> dict[str, Any]:
    image = Pillow.fromarray(np.full((8, 8, 3), 10 * index, dtype=np.uint8))
    texts = {name: f"{name} {index}" for name in COLUMNS}
    numbers = dict.fromkeys(("index", "attempt", "seed", "steps"), index) | {"strength": 0.5, "guidance": 5.0}
    region = {"box": [1, 2, 3, 4], "mask": image.convert("1")} if index else {"box": None, "mask": None}
    return {**texts, **numbers, **region, "image": image, "label": index % 2, "group": None if index else "grass"}


def described(paths: list[Path], folder: Path) -> list[dict[str, Any]]:
    """Files as a manifest names them."""
    return [
        {"path": str(path.relative_to(folder)), "size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
        for path in paths
    ]


FILES = [{"path": "data/train-00000-of-00001.parquet", "size": 10, "sha256": "0" * 64}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A version's folder: two shards of kept images, one of dropped, one of none; its card; its Croissant description."""
    features = datasets.Features({name: datasets.Value("string") for name in COLUMNS})
    features |= {name: datasets.Value("int64") for name in ("index", "attempt", "seed", "steps")}
    features |= {name: datasets.Value("float32") for name in ("strength", "guidance")}
    features |= {"image": datasets.Image(), "mask": datasets.Image(), "box": datasets.List(datasets.Value("int32"))}
    features |= {"label": datasets.ClassLabel(names=CLASSES)}
    for name, rows in (("data", [0, 1]), ("data", [2, 3]), ("rejected", [4, 5, 6]), ("rejected", [])):
        (tmp_path / name).mkdir(exist_ok=True)
        path = tmp_path / name / f"train-{len(list((tmp_path / name).iterdir())):05d}-of-00002.parquet"
        columns = {column: [row(i)[column] for i in rows] for column in COLUMNS}
        datasets.Dataset.from_dict(columns, features=features).to_parquet(path)
    (tmp_path / "README.md").write_text(card(spec(), COUNTS, QUALITY, CLASSES, version=3))
    files = described(sorted(tmp_path.glob("*/*.parquet")), tmp_path)
    (tmp_path / "croissant.json").write_bytes(croissant(spec(), CLASSES, files, version=3))
    return tmp_path


def test_hugging_face_loads_the_folder_by_its_card(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    cache = str(tmp_path_factory.mktemp("cache"))
    kept = datasets.load_dataset(str(folder), split="train", cache_dir=cache)
    rejected = datasets.load_dataset(str(folder), "rejected", split="train", cache_dir=cache)
    assert list(kept.column_names) == list(rejected.column_names) == list(COLUMNS)
    assert (len(kept), len(rejected)) == (4, 3)
    assert kept.features["label"].names == CLASSES


def test_front_matter_is_what_the_hub_reads() -> None:
    text = card(spec(), COUNTS, QUALITY, CLASSES, version=3, licence="mit")
    assert yaml.safe_load(text.split("---\n")[1])["task_categories"] == ["image-classification"]
    data = front_matter(text)
    assert data["pretty_name"] == "shoes, version 3"
    assert {"synthetic", "counterpoise"} <= set(data["tags"])
    assert data["size_categories"] == ["n<1K"]
    assert data["license"] == "mit"
    assert [config["data_files"][0]["path"] for config in data["configs"]] == ["data/*.parquet", "rejected/*.parquet"]


def test_card_says_what_was_asked_and_what_came_of_it() -> None:
    text = card(spec(), COUNTS, QUALITY, CLASSES, version=3, revisions=["abc123"])
    for said in (
        "[arXiv 2503.17226](https://arxiv.org/abs/2503.17226)", "| superclass | shoe |", "| inversion.vectors | 4 |",
        "arxiv.org/abs/2208.01618", "min_contrast 0.0725", "**near_duplicate**", "Seed: 77", "revision abc123",
        "| 1 | sneaker | 1 |",
        "| quality.sharpness | 0.0123 |", "| kept | 4 |", "| attribution: not seen | 2 |", "| quality: blurred | 1 |",
        "| source image skipped: segmenter: nothing found | 5 |", "AUC of 0.58",
        "**Worst-group accuracy 41.0 % → 79.0 %: 38.0 points better than real data alone.**",
        "are synthetic. Do not use them as real ones",
    ):  # fmt: skip
        assert said in text
    assert text.index("attribution: not seen") < text.index("quality: blurred")
    assert all(f"| `{name}` | " in text for name in COLUMNS)


def test_card_of_another_method_without_evaluation() -> None:
    text = card(spec(method={"type": "text_to_image"}, filters=[]), COUNTS, {}, CLASSES, version=1)
    assert "**text_to_image**: Plain generation from a prompt" in text
    assert "Not measured: the spec asks for no evaluation." in text
    assert "evaluation.json" not in text
    assert "None: every image was kept." in text


def test_hostile_names_stay_text() -> None:
    hostile = spec(method={"type": "spurious_removal", "superclass": HOSTILE})
    text = card(hostile, {**COUNTS, "reasons": {HOSTILE: 1}}, {}, [HOSTILE, "boot"], version=1)
    assert "<script>" not in text
    assert "[y](z)" not in text
    assert "\n# head" not in text
    line = next(line for line in text.splitlines() if line.startswith("| 0 | "))
    assert line.count("|") == 4
    croissant(hostile, [HOSTILE, "boot"], FILES)


def test_card_of_a_version_that_kept_nothing() -> None:
    counts = {"planned": 4, "generated": 0, "kept": 0, "dropped": 0, "reasons": {}, "skipped": {}}
    text = card(spec(), counts, {}, CLASSES)
    assert front_matter(text)["pretty_name"] == "shoes"
    assert "![" not in text
    assert "| 0 | boot | 0 |" in text


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph", "ignore:The inplace keyword")  # of rdflib and of mlcroissant
def test_croissant_is_valid_and_reads_the_files(folder: Path) -> None:
    dataset = mlc.Dataset(folder / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    rows = list(dataset.records("default"))
    assert sorted(rows[0]) == sorted(f"default/{name}" for name in COLUMNS)
    assert [row["default/label"] for row in rows] == [0, 1, 0, 1]
    assert [row["default/index"] for row in rows] == [0, 1, 2, 3]
    assert np.asarray(rows[3]["default/image"])[0, 0, 0] == 30
    assert [row["default/box"] for row in rows] == [None, *[[1, 2, 3, 4]] * 3]
    assert [row["default/mask"] and row["default/mask"].mode for row in rows] == [None, "1", "1", "1"]
    assert [row["rejected/reason"] for row in dataset.records("rejected")] == [b"reason 4", b"reason 5", b"reason 6"]


def test_croissant_names_the_files_by_their_hash() -> None:
    value = json.loads(croissant(spec(), CLASSES, FILES, version=3))
    assert (value["distribution"][0]["contentUrl"], value["distribution"][0]["sha256"]) == (FILES[0]["path"], "0" * 64)
    assert [records["@id"] for records in value["recordSet"]] == ["default"]


def test_same_version_same_bytes() -> None:
    assert card(spec(), COUNTS, QUALITY, CLASSES, version=3) == card(spec(), COUNTS, QUALITY, CLASSES, version=3)
    assert croissant(spec(), CLASSES, FILES, version=3) == croissant(spec(), CLASSES, FILES, version=3)
    assert b"date" not in croissant(spec(), CLASSES, FILES, version=3)


def test_columns_are_those_that_are_written() -> None:
    assert list(features(CLASSES)) == list(COLUMNS)


def test_what_was_carried_over_counts_as_much_as_what_was_kept() -> None:
    text = card(spec(), {**COUNTS, "carried": 1_000}, QUALITY, CLASSES, version=2)
    assert "1,004 generated images of 2 classes" in text
    assert "| carried over from an earlier version | 1,000 |" in text
    assert "`manifest.json` gives the `key` of each of them" in text
    assert front_matter(text)["size_categories"] == ["1K<n<10K"]
    assert "earlier version" not in card(spec(), COUNTS, QUALITY, CLASSES, version=1)
