"""Datasets in the hub's layout, loaded by `datasets` itself: from Parquet alone, from nowhere else, and running nothing."""

from pathlib import Path
from typing import Any

import datasets
import pytest

from pipelines.errors import SourceError, SpecError, UnreachableError
from pipelines.source.decode import decode
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import HubSource, ParquetSource
from service.limits import check
from service.settings import Settings
from tests.builders import spec
from tests.source.packed import BAD, parquet, picture

LABELS = [("boot", "sneaker")[n % 2] for n in range(24)]


def rows(start: int, end: int, **more: Any) -> list[dict[str, Any]]:
    return [{"image": {"bytes": picture(n), "path": None}, "label": LABELS[n], **more} for n in range(start, end)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset as `push_to_hub` lays it out."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    made = tmp_path / "shop" / "shoes"
    (made / "data").mkdir(parents=True)
    for split, part in (("train", rows(0, 16)), ("validation", rows(16, 20)), ("test", rows(20, 24))):
        (made / f"data/{split}-00000-of-00001.parquet").write_bytes(parquet(part))
    return made


def opened(identity: Path | str, **options: Any) -> Source:
    return open_source(HubSource(type="hub", id=str(identity), **options))


def readme(folder: Path, files: str) -> None:
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files: {files}\n---\n")


def test_every_image_of_every_split_is_read(folder: Path) -> None:
    source = opened(folder)
    assert {split: len(items) for split, items in source.splits.items()} == {"train": 16, "validation": 4, "test": 4}
    known = {decode(picture(n)).tobytes(): LABELS[n] for n in range(24)}
    read = [(source.read(item).tobytes(), item.label) for items in source.splits.values() for item in items]
    assert dict(read) == known
    assert source.problems == []


def test_a_folder_of_the_same_name_or_with_other_files_is_another_source(folder: Path) -> None:
    assert sum(map(len, opened(folder).splits.values())) == 24
    other = folder.parent / "other" / folder.name
    (other / "data").mkdir(parents=True)
    (other / "data/train.parquet").write_bytes(parquet(rows(0, 12)))
    assert sum(map(len, opened(other).splits.values())) == 12
    (folder / "data/test-00000-of-00001.parquet").write_bytes(parquet(rows(20, 22)))
    assert sum(map(len, opened(folder).splits.values())) == 22


def test_the_same_files_are_the_same_source_as_parquet(folder: Path) -> None:
    assert opened(folder).fingerprint == open_source(ParquetSource(type="parquet", path=str(folder))).fingerprint


def test_what_was_saved_with_class_labels_and_configurations_is_understood(folder: Path) -> None:
    features = {
        "picture": datasets.Image(),
        "kind": datasets.ClassLabel(names=["sneaker", "boot"]),
        "scene": datasets.Value("string"),
    }
    made = [{"picture": row["image"], "kind": row["label"], "scene": "grass"} for row in rows(0, 24)]
    (folder / "small").mkdir()
    datasets.Dataset.from_list(made, features=datasets.Features(features)).to_parquet(str(folder / "small/train.parquet"))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- {config_name: all, data_files: data/*.parquet}\n"
        "- {config_name: small, data_files: small/*.parquet}\n---\n"
    )
    source = opened(folder, config="small", image="picture", label="kind", group="scene")
    assert sum(map(len, source.splits.values())) == 24
    assert all(source.splits.values()), "one split alone is divided"
    assert {item.group for item in source.splits["train"]} == {"grass"}
    assert all(item.label == {decode(picture(n)).tobytes(): LABELS[n] for n in range(24)}[source.read(item).tobytes()]
               for item in source.splits["train"])  # fmt: skip
    with pytest.raises(SourceError, match=r"^source\.id: .*Config name is missing.*check id, revision, config"):
        opened(folder)


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_a_problem_with_its_place_and_reason(folder: Path, kind: str) -> None:
    data, said = BAD[kind]
    file = folder / "data/train-00000-of-00001.parquet"
    file.write_bytes(parquet([*rows(0, 16), {"image": {"bytes": data, "path": "/etc/passwd"}, "label": "boot"}]))
    (problem,) = opened(folder).problems
    assert problem.id == "train/row 16"
    assert said in problem.reason


def test_a_row_that_names_a_file_reads_none(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(picture(999))
    row = {"image": {"bytes": None, "path": str(tmp_path / "secret.png")}, "label": "boot"}
    (folder / "data/train-00000-of-00001.parquet").write_bytes(parquet([*rows(0, 16), row]))
    (problem,) = opened(folder).problems
    assert problem.reason.startswith("not a readable")


def test_a_split_of_another_purpose_is_left_out_and_told(folder: Path) -> None:
    (folder / "data/extra-00000-of-00001.parquet").write_bytes(
        parquet([{**rows(0, 1)[0], "image": {"bytes": picture(77), "path": None}}])
    )
    (problem,) = opened(folder).problems
    assert (problem.id, problem.reason) == ("extra", "is none of train, validation, test: left out")


def test_its_readme_leads_nowhere_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.parquet").write_bytes(parquet(rows(0, 16)))
    readme(folder, "../../secret/*.parquet")
    with pytest.raises(SourceError, match=r"names '.*secret/a.parquet', which lies outside of it; remove that"):
        opened(folder)
    for elsewhere in (f"{tmp_path}/secret/*.parquet", "https://example.invalid/a.parquet", "s3://bucket/a.parquet"):
        readme(folder, elsewhere)
        with pytest.raises(SourceError, match=r"^source\.id: "):
            opened(folder)


def test_a_link_out_of_it_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet(rows(0, 16)))
    (folder / "data/train-00001-of-00002.parquet").symlink_to(tmp_path / "a.parquet")
    with pytest.raises(SourceError, match="which lies outside of it"):
        opened(folder)


def test_nothing_but_parquet_is_read_and_no_code_is_run(folder: Path, tmp_path: Path) -> None:
    for name, content in (("table/train.csv", "image,label\n1,2\n"), ("code/code.py", "import os; os.mkdir('ran')\n")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match="is kept as csv, not as Parquet; try revision refs/convert/parquet"):
        opened(tmp_path / "table")
    with pytest.raises(SourceError, match="scripts are no longer supported"):
        opened(tmp_path / "code")


def test_a_hub_that_cannot_be_reached_is_an_error_that_may_pass() -> None:
    with pytest.raises(UnreachableError, match=r"^source\.id: the hub cannot be reached for 'shop/shoes' .*HF_HUB_OFFLINE"):
        opened("shop/shoes")


def test_a_dataset_and_a_folder_of_one_name_are_not_mixed_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parents[1])
    with pytest.raises(SourceError, match=r"shop/shoes is a folder here, too; write \./shop/shoes"):
        opened("shop/shoes")
    assert opened("./shop/shoes").classes == ("boot", "sneaker")
    with pytest.raises(SourceError, match=r"\./shoes is not a folder"):
        opened("./shoes")


@pytest.mark.parametrize(("identity", "allowed"), [("shop/shoes", True), ("shop2/shoes", False), ("other/shop", False)])
def test_the_operator_allows_organisations(identity: str, allowed: bool) -> None:
    asked, settings = spec(source={"type": "hub", "id": identity}), Settings(hub_organisations=["shop"])
    if allowed:
        check(asked, settings)
    else:
        with pytest.raises(SpecError, match=r"^source\.id: .* not allowed here; the operator allows shop .*ORGANISATIONS"):
            check(asked, settings)


def test_the_operator_allows_folders(folder: Path, tmp_path: Path) -> None:
    for kind in ({"type": "hub", "id": str(folder)}, {"type": "parquet", "path": f"{folder}/data/*.parquet"}):
        check(spec(source=kind), Settings(source_roots=[str(tmp_path / "shop")]))
        for roots in ([], [str(tmp_path / "sho")], ["s3://shop"]):
            with pytest.raises(SpecError, match=r"^source\.(id|path): .* not allowed here"):
                check(spec(source=kind), Settings(source_roots=roots, hub_organisations=["shop", ""]))
    (tmp_path / "shop/link").symlink_to("/etc")
    for path in (f"{tmp_path}/shop/link", f"{tmp_path}/shop/../secret", f"{tmp_path}/shop/link/*.tar"):
        with pytest.raises(SpecError, match=r"^source\.path: .* not allowed here"):
            check(spec(source={"type": "webdataset", "path": path}), Settings(source_roots=[str(tmp_path / "shop")]))
