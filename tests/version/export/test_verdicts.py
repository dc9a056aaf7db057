"""People's verdicts in an export of every format, read back, and in a version's folder that is made over. Three seconds."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from datasets import load_dataset

from pipelines.errors import ExportError
from pipelines.records import Quota
from pipelines.store.object_store import Store
from pipelines.version.export import FORMATS, FormatName
from pipelines.version.export.decided import RESTORED, decide
from pipelines.version.export.files import tar
from pipelines.version.export.folder import write as write_export
from pipelines.version.export.samples import PublishedVersion, holding, published
from pipelines.version.files import description
from pipelines.version.plan import Plan
from pipelines.version.verdicts import FILE, HumanVerdict, by_sample, read_verdicts
from tests.version.export.versions import patch, row, tree, write

CLASSES = ["boot", "shoe"]
KEPT = [row(number, number % 2, patch(number), attempt=1) for number in range(4)]
REJECTED = [row(number, number % 2, patch(number + 10), reason="quality: blurred") for number in range(4)]
VERDICTS = [
    HumanVerdict(sample="1-1", decision="drop", by="alice", at=1_700_000_000.0),
    HumanVerdict(sample="2-0", decision="keep", by="bob", at=1_700_000_001.0),
    HumanVerdict(sample="3-1", decision="keep", by="bob", at=1_700_000_002.0),  # which the filters kept, too
]
NAMES = {"00000000-1", "00000002-1", "00000003-1", "00000002-0"}


@pytest.fixture
def version(tmp_path: Path) -> PublishedVersion:
    write(tmp_path / "version", CLASSES, [KEPT[:2], KEPT[2:]], [REJECTED[:1], REJECTED[1:]])
    return published(Store.open(tmp_path / "version"), verdicts=VERDICTS)


@pytest.mark.parametrize("name", FORMATS)
def test_what_people_dropped_is_left_out_and_what_they_kept_is_brought_back(
    version: PublishedVersion, name: FormatName, tmp_path: Path
) -> None:
    write_export(FORMATS[name], version, tmp_path / "out")
    assert read_verdicts(tmp_path / "out" / FILE) == VERDICTS
    with tarfile.open(fileobj=io.BytesIO(b"".join(tar(FORMATS[name], version)))) as archive:
        members = {Path(path).name for path in archive.getnames()}
    assert {Path(member).stem for member in members if member.endswith(".png")} == NAMES
    assert (FILE in members) is not FORMATS[name].sharded
    if not FORMATS[name].sharded:
        assert {file.stem for file in (tmp_path / "out").rglob("*.png")} == NAMES
    assert (version.count(), version.left_out, version.restored) == (4, 1, [(2, 0)])


def test_who_decided_and_when_is_beside_each_sample(version: PublishedVersion, tmp_path: Path) -> None:
    write_export(FORMATS["imagefolder"], version, tmp_path / "out")
    table = load_dataset("imagefolder", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "c"))
    columns = ("decision", "decided_by", "decided_at", "reason")
    decided = {f"{line['index']}-{line['attempt']}": tuple(line[name] for name in columns) for line in table}
    assert decided == {
        "0-1": ("", "", "", ""),
        "2-1": ("", "", "", ""),
        "3-1": ("keep", "bob", "2023-11-14T22:13:22+00:00", ""),
        "2-0": ("keep", "bob", "2023-11-14T22:13:21+00:00", "quality: blurred"),
    }


@pytest.mark.parametrize("name", FORMATS)
def test_without_verdicts_an_export_is_as_it_was_published(
    version: PublishedVersion, name: FormatName, tmp_path: Path
) -> None:
    plain = published(version.store)
    write_export(FORMATS[name], plain, tmp_path / "out")
    assert not (tmp_path / "out" / FILE).exists()
    assert (plain.count(), plain.rejected, [sample.key for sample in plain.samples()]) == (
        4,
        (),
        [f"{number:08d}-1" for number in range(4)],
    )


def test_a_folder_is_made_over_and_loads(version: PublishedVersion, tmp_path: Path) -> None:
    folder = tmp_path / "version"
    (folder / "croissant.json").write_text("{}")
    before = tree(folder)
    decide(version, folder)
    table = load_dataset("parquet", data_files=str(folder / "data/*.parquet"), split="train", cache_dir=str(tmp_path / "c"))
    assert {f"{line['index']:08d}-{line['attempt']}" for line in table} == NAMES
    assert {line["reason"] for line in table} == {None}
    assert table.features["label"].names == CLASSES
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["decided"] == {"left_out": 1, "restored": 1}
    for file in manifest["files"]:
        assert file == description(file["path"], (folder / file["path"]).read_bytes())
    changed = {path for path, digest in tree(folder).items() if before.get(path) != digest}
    assert changed == {"data/train-00000-of-00002.parquet", RESTORED, FILE, "README.md", "manifest.json"}
    assert not (folder / "croissant.json").exists()
    assert "1 dropped by people left out, 1 kept by people brought back" in (folder / "README.md").read_text()


def test_all_samples_of_a_shard_may_be_dropped(version: PublishedVersion, tmp_path: Path) -> None:
    both = [HumanVerdict(sample=f"{number}-1", decision="drop", by="alice", at=1.0) for number in (0, 1)]
    decide(published(version.store, verdicts=both), tmp_path / "version")
    data = str(tmp_path / "version/data/*.parquet")
    assert len(load_dataset("parquet", data_files=data, split="train", cache_dir=str(tmp_path / "c"))) == 2


def test_verdicts_on_samples_that_are_not_there_are_refused(version: PublishedVersion) -> None:
    other = HumanVerdict(sample="99-0", decision="drop", by="alice", at=1.0)
    with pytest.raises(ExportError, match="1 of 4 are of samples that this version does not have, such as '99-0'"):
        published(version.store, verdicts=[*VERDICTS, other]).count()


def test_of_dropped_candidates_the_files_of_their_shards_alone_are_read() -> None:
    plan = Plan("0", "0", (Quota("boot", None, 10),), shard_size=4)
    paths = [f"rejected/train-{number:05d}-of-00003-f{number}.parquet" for number in range(3)]
    assert holding(["data/train-00001-of-00003.parquet", *paths], plan, [(1, 0), (4, 2)]) == paths[1:2]
    assert holding(paths, None, [(1, 0)]) == paths
    assert holding(paths, plan, []) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is no list of verdicts: all of it"),
        (
            '[{"sample": "x", "decision": "drop", "by": "a", "at": 0}]',
            "is no list of verdicts: 0.sample: String should match",
        ),
        ('[{"sample": "1-0", "decision": "burn", "by": "a", "at": 0}]', "0.decision: Input should be 'keep' or 'drop'"),
        ('[{"sample": "1-0", "decision": "keep"}]', "0.by: Field required"),
    ],
)
def test_a_file_that_is_no_list_of_verdicts_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "verdicts.json").write_text(text)
    with pytest.raises(ExportError, match="--verdicts: ") as refused:
        read_verdicts(tmp_path / "verdicts.json")
    assert message in str(refused.value)


def test_the_last_verdict_on_a_sample_counts() -> None:
    first, second = (HumanVerdict(sample="1-0", decision=decision, by="a", at=0.0) for decision in ("keep", "drop"))
    assert by_sample([first, second]) == {(1, 0): second}
