"""A version made from an earlier one: what is carried, what is made anew, and that neither is the other's to change."""

import hashlib
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from pipelines.errors import StoreError
from pipelines.job import Job
from pipelines.progress import Silent, Stage
from pipelines.source.open import open_source
from pipelines.spec import parse
from pipelines.store import keys
from pipelines.store.object_store import Store
from pipelines.version import browse, rows
from pipelines.version.diff import compare
from pipelines.version.discard import discard
from pipelines.version.files import all_stored
from pipelines.version.plan import Plan, read_plan
from pipelines.version.refresh import obeyed
from pipelines.version.verdicts import HumanVerdict
from tests.builders import noise

SPEC: dict[str, Any] = {
    "name": "shoes",
    "method": {
        "type": "spurious_removal",
        "superclass": "shoe",
        "inversion": {"vectors": 1, "images": 4, "steps": 2, "batch": 2},
        "objects": "both",
        "steps": 2,
    },
    "amount": {"per_class": 12},
    "shard_size": 4,
    "max_attempts": 1,
    "classifier": {"steps": 5, "batch": 8},
}
V1, V2, V3 = (keys.version("shoes", number) for number in (1, 2, 3))


class Told(Silent):
    """Remembers what was done."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int) -> Stage:
        self.stages.append(name)
        return super().stage(name, total)


def job(folder: Path, number: int, previous: int | None = None, progress: Silent | None = None, **changes: Any) -> Job:
    """A version of the images in `folder/images`, in the store `folder/store`. The first has plain names, as of an older
    release; the others are made by leases."""
    source = {"type": "folder", "path": str(folder / "images")}
    spec = parse({**SPEC, "source": source, **changes})
    work = Job(spec, Store.open(folder / "store"), progress or Silent(), number, previous)
    work.resources.fence = None if number == 1 else 7
    return work


def made(work: Job) -> Plan:
    """All that a service would do, in its order."""
    plan = work.plan
    if plan.planned:
        work.learn()
    for number in range(plan.written_shards):
        work.generate([number])
    work.finalize()
    work.evaluate()
    work.compare()
    return plan


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten boots and ten sneakers to train on, and version 1 of them."""
    folder = tmp_path_factory.mktemp("first")
    source = open_source(parse({**SPEC, "source": {"type": "spurious", "train": 40, "validation": 8, "test": 8}}).source)
    chosen = [*source.of("boot")[:10], *source.of("sneaker")[:10], *source.splits["validation"], *source.splits["test"]]
    for item in chosen:
        file = folder / "images" / item.id
        file.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(source.read(item)).save(file)
    made(job(folder, 1))
    return folder


@pytest.fixture
def folder(first: Path, tmp_path: Path) -> Path:
    """A copy, to change."""
    return Path(shutil.copytree(first, tmp_path / "copy"))


def store(folder: Path) -> Store:
    return Store.open(folder / "store")


def samples(folder: Path, root: str) -> list[dict[str, Any]]:
    plan = read_plan(store(folder), root)
    assert plan is not None
    return rows.read_shards(store(folder), root, plan)


def tree(folder: Path, root: str) -> dict[str, str]:
    return {key: hashlib.sha256(store(folder).get(key)).hexdigest() for key in store(folder).keys(root + "/")}


def gone(folder: Path, label: str = "") -> str:
    """Take away the training image (of a class) that the fewest samples, but some, were made from; return its id."""
    ids = [row[name] for row in samples(folder, V1) for name in ("source_id", "object_id") if row[name]]
    used = Counter(each for each in ids if each.startswith(f"train/{label}"))
    name = min(used, key=lambda each: (used[each], each))
    (folder / "images" / name).unlink()
    return name


def rename(folder: Path) -> None:
    file = next((folder / "images/train/boot").iterdir())
    file.rename(file.with_name("another-name.png"))


def test_of_the_same_images_whatever_they_are_called_nothing_is_new(folder: Path) -> None:
    assert job(folder, 2, 1).unchanged
    rename(folder)
    assert job(folder, 2, 1).unchanged
    assert not job(folder, 2, 1, amount={"per_class": 13}).unchanged
    assert not job(folder, 2, 1, filters=[{"type": "quality"}]).unchanged
    next((folder / "images/test/boot").iterdir()).unlink()
    assert not job(folder, 2, 1).unchanged
    assert not store(folder).keys(V2)


def test_what_people_dropped_is_made_anew_though_nothing_else_has_changed(folder: Path) -> None:
    kept, dropped = samples(folder, V1)[:2]
    decisions = [
        HumanVerdict(sample=f"{row['index']}-{row['attempt']}", decision=decision, by="alice", at=1.0)
        for row, decision in ((kept, "keep"), (dropped, "drop"))
    ]
    job(folder, 2, 1).obey(decisions[:1])
    assert job(folder, 2, 1).unchanged
    assert not store(folder).keys(V2)
    job(folder, 2, 1).obey(decisions)
    work = job(folder, 2, 1)
    assert not work.unchanged
    plan = made(work)
    assert (plan.removed, plan.planned) == (1, 1)
    assert {row["index"] for row in samples(folder, V1)} - {row["index"] for row in samples(folder, V2)} == {
        dropped["index"]
    }
    files = {file["path"] for file in store(folder).json(keys.manifest(V2))["files"]}
    assert "obeyed.json" in files
    assert obeyed(store(folder), V2) == decisions


def spoil(folder: Path) -> dict[str, Any]:
    """As if the first attempt at a planned image of the first shard had been dropped, and the second one kept: return the
    row of the first."""
    plan = read_plan(store(folder), V1)
    assert plan is not None
    first, *others = rows.read(store(folder).get(keys.data(V1, 0, plan.shards)))
    dropped = {**first, "reason": "quality: blurred", "prompt": "the first attempt"}
    for key, part in (
        (keys.data(V1, 0, plan.shards), [{**first, "attempt": 1}, *others]),
        (keys.rejected(V1, 0, plan.shards), [dropped, {**first, "attempt": 2, "reason": "quality: dark"}]),
    ):
        images = [{**row, "image": {"bytes": row["image"], "path": "a.png"}} for row in part]
        store(folder).put(key, rows.write_table(images, ("boot", "sneaker")))
    return dropped


def test_what_people_kept_comes_back_in_place_of_a_later_attempt(folder: Path) -> None:
    dropped = spoil(folder)
    index = dropped["index"]
    keep = HumanVerdict(sample=f"{index}-0", decision="keep", by="alice", at=1.0)
    job(folder, 2, 1).obey([keep.model_copy(update={"sample": f"{index}-1"})])
    assert job(folder, 2, 1).unchanged  # which the filters had kept
    job(folder, 2, 1).obey([keep])
    work = job(folder, 2, 1)
    assert not work.unchanged
    plan = made(work)
    assert (plan.planned, plan.carried_samples, plan.restored_samples, plan.removed) == (0, 24, 1, 1)
    new = {(row["index"], row["attempt"]): row for row in samples(folder, V2)}
    assert {number for number, _ in new} == {row["index"] for row in samples(folder, V1)}
    assert new.keys() & {(index, attempt) for attempt in range(3)} == {(index, 0)}
    assert new[index, 0] == {**dropped, "reason": None}
    shown = browse.find(store(folder), V2, index, 0)
    assert shown is not None
    assert shown["verdict"] == "kept"
    manifest = store(folder).json(keys.manifest(V2))
    assert (manifest["counts"]["carried"], manifest["counts"]["labels"]) == (24, {"boot": 12, "sneaker": 12})
    assert store(folder).json(keys.diff(V2))["samples"] == {"added": 0, "carried": 24, "removed": 1, "restored": 1}
    assert job(folder, 3, 2).unchanged
    made(job(folder, 3, 2, amount={"per_class": 13}))
    assert {(row["index"], row["attempt"]) for row in samples(folder, V3)} >= new.keys()


def test_of_one_planned_image_all_attempts_that_people_kept_come_back_and_others_make_room(folder: Path) -> None:
    index = spoil(folder)["index"]
    job(folder, 2, 1).obey(
        [HumanVerdict(sample=f"{index}-{attempt}", decision="keep", by="alice", at=1.0) for attempt in range(3)]
    )
    plan = made(job(folder, 2, 1))
    assert (plan.planned, plan.carried_samples, plan.restored_samples, plan.removed) == (0, 24, 2, 2)
    new = {(row["index"], row["attempt"]) for row in samples(folder, V2)}
    assert len(new) == 24
    assert new >= {(index, attempt) for attempt in range(3)}
    dropped = HumanVerdict(sample=f"{index}-2", decision="drop", by="alice", at=1.0)
    job(folder, 3, 2).obey([dropped])
    made(job(folder, 3, 2))
    third = {(row["index"], row["attempt"]) for row in samples(folder, V3)}
    assert third >= {(index, 0), (index, 1)}
    assert (index, 2) not in third


def test_what_people_kept_does_not_come_back_without_its_source(folder: Path) -> None:
    dropped = spoil(folder)
    (folder / "images" / dropped["source_id"]).unlink()
    job(folder, 2, 1).obey([HumanVerdict(sample=f"{dropped['index']}-0", decision="keep", by="alice", at=1.0)])
    assert job(folder, 2, 1).plan.restored_samples == 0


def test_what_an_image_that_is_gone_was_part_of_goes_and_only_that_is_made_again(folder: Path) -> None:
    before, lost = tree(folder, V1), gone(folder)
    old = {row["index"]: row for row in samples(folder, V1)}
    hit = {index for index, row in old.items() if lost in (row["source_id"], row["object_id"])}
    plan = made(job(folder, 2, 1))
    new = {row["index"]: row for row in samples(folder, V2)}
    assert 0 < len(hit) < len(old) == len(new) == 24
    assert {index: row for index, row in new.items() if index in old} == {i: r for i, r in old.items() if i not in hit}
    assert (plan.planned, plan.carried_samples, plan.removed) == (len(hit), 24 - len(hit), len(hit))
    assert min(set(new) - set(old)) == 24
    assert Counter((row["label"], row["origin"]) for row in new.values()) == Counter(
        (row["label"], row["origin"]) for row in old.values()
    )
    assert not [row for row in new.values() if lost in (row["source_id"], row["object_id"])]
    assert tree(folder, V1) == before


def test_a_shard_that_nothing_happened_to_is_not_copied(folder: Path) -> None:
    gone(folder)
    plan = made(job(folder, 2, 1))
    whole = [part for part in plan.carried if part.whole]
    assert whole
    assert len(whole) < len(plan.carried)
    listed = store(folder).json(keys.manifest(V2))["files"]
    data = [file for file in listed if file["path"].startswith("data/")]
    fences = [7 if number < plan.written_shards else None for number in range(plan.shards)]
    assert [file["path"] for file in data] == [keys.data("", n, plan.shards, fence)[1:] for n, fence in enumerate(fences)]
    assert {file["key"] for file in data if "key" in file} == {part.key for part in whole}
    for file in listed:
        content = store(folder).get(file.get("key", f"{V2}/{file['path']}"))
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"])
    own = {key.removeprefix(f"{V2}/") for key in store(folder).keys(f"{V2}/")} - {"manifest.json", "diff.json"}
    assert own == {file["path"] for file in listed if "key" not in file}


def test_a_version_from_before_there_were_boxes_is_written_again_with_none_and_loads_as_one(folder: Path) -> None:
    for path in (folder / "store" / V1 / "data").iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["box", "mask", "group_id"]), path)
    plan = made(job(folder, 2, 1, amount={"per_class": 13}))
    assert (plan.planned, plan.carried_samples, [part.whole for part in plan.carried]) == (2, 24, [False] * 6)
    keys_ = [str(folder / "store" / files["data"]) for files in all_stored(store(folder), V2, plan)]
    table = load_dataset("parquet", data_files=keys_, split="train", cache_dir=str(folder / "cache"))
    assert (
        [row["box"] is None for row in table]
        == [row["mask"] is None for row in table]
        == [row["index"] < 24 for row in table]
    )
    again = made(job(folder, 3, 2, amount={"per_class": 14}))
    assert all(part.whole for part in again.carried)


def test_the_counts_are_those_of_the_rows(folder: Path) -> None:
    gone(folder)
    made(job(folder, 2, 1))
    counts, found = store(folder).json(keys.manifest(V2))["counts"], samples(folder, V2)
    assert counts["kept"] + counts["carried"] == len(found) == 24
    assert counts["generated"] == counts["kept"] + counts["dropped"]
    assert counts["labels"] == {"boot": 12, "sneaker": 12}


def test_an_object_that_was_grafted_in_must_be_there_still(folder: Path) -> None:
    old = samples(folder, V1)
    sources = {row["source_id"] for row in old}
    donors = Counter(row["object_id"] for row in old if row["object_id"])
    lost = min(donors, key=lambda name: (name in sources, name))
    (folder / "images" / lost).unlink()
    kept = {row["index"] for row in old if lost not in (row["source_id"], row["object_id"])}
    made(job(folder, 2, 1))
    assert {row["index"] for row in samples(folder, V2) if row["index"] < 24} == kept
    assert len(kept) <= 24 - donors[lost]


def test_only_the_token_of_the_class_whose_images_changed_is_learned_again(folder: Path) -> None:
    """Although the judge, by which the images to learn from are chosen, is another one."""
    before = set(store(folder).folders("concepts/token"))
    gone(folder, "boot")
    told = Told()
    plan = made(job(folder, 2, 1, told))
    assert len(list((folder / "images/train/sneaker").iterdir())) > SPEC["method"]["inversion"]["images"]
    assert [stage for stage in told.stages if stage.startswith("learn")] == [
        "learn: judge of the image",
        "learn: token <boot>",
    ]
    assert set(plan.tokens) == {"sneaker"}
    assert len(set(store(folder).folders("concepts/token")) - before) == 1


def test_an_amount_that_is_less_is_less(folder: Path) -> None:
    plan = made(job(folder, 2, 1, amount={"per_class": 8}))
    assert (plan.planned, plan.carried_samples, plan.removed) == (0, 16, 8)
    assert Counter(row["label"] for row in samples(folder, V2)) == {0: 8, 1: 8}


def test_an_amount_that_is_more_is_filled_up(folder: Path) -> None:
    plan = made(job(folder, 2, 1, amount={"per_class": 14}))
    assert (plan.planned, plan.carried_samples, plan.removed) == (4, 24, 0)
    assert all(part.whole for part in plan.carried)
    first_ranks = {cell.carried for cell in plan.quotas}
    assert {slot.rank for slot in plan.shard(0)} == first_ranks == {6}


def test_what_another_method_or_filter_made_or_is_encoded_otherwise_is_not_carried(folder: Path) -> None:
    others = {"filters": [{"type": "quality"}]}, {"method": {**SPEC["method"], "steps": 3}}, {"encoding": {"type": "webp"}}
    for number, changes in enumerate(others, start=2):
        plan = job(folder, number, 1, **changes).plan
        assert (plan.planned, plan.carried, plan.removed, plan.tokens) == (24, (), 24, {})
    assert job(folder, 9, 1, models={}, seed=9).plan.carried_samples == 24


def test_a_class_that_is_new_gets_its_images_and_the_labels_of_the_others_follow(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        pumps = folder / f"images/{split}/pump"
        pumps.mkdir()
        for sneaker in (folder / f"images/{split}/sneaker").iterdir():
            with PIL.Image.open(sneaker) as image:
                image.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM).save(pumps / sneaker.name)
    plan = made(job(folder, 2, 1))
    classes = ["boot", "pump", "sneaker"]
    found = samples(folder, V2)
    assert Counter(classes[row["label"]] for row in found) == dict.fromkeys(classes, 12)
    assert not any(part.whole for part in plan.carried)
    for row in found:
        assert f"<{classes[row['label']]}>" in row["prompt"]
    files = [files["data"] for files in all_stored(store(folder), V2, plan)]
    names = {tuple(browse.class_names(browse.open_samples(store(folder), key).schema_arrow)) for key in files}  # type: ignore[union-attr]
    assert names == {tuple(classes)}


def test_refreshed_again_samples_of_the_first_are_still_by_reference(folder: Path) -> None:
    made(job(folder, 2, 1, amount={"per_class": 13}))
    plan = made(job(folder, 3, 2, amount={"per_class": 14}))
    assert {part.key.split("/data/")[0] for part in plan.carried} == {V1, V2}
    assert all(part.whole for part in plan.carried)
    found = samples(folder, V3)
    assert sorted(row["index"] for row in found) == list(range(28))
    for row in found:
        assert browse.image(store(folder), V3, row["index"], row["attempt"]) == row["image"]
    shown, end = browse.page(store(folder), V3, browse.SampleFilter(), (0, 0), 100)
    assert end is None
    assert {row["index"] for row in shown} == set(range(28))


def test_the_diff_says_what_came_stayed_and_went(folder: Path) -> None:
    for label in ("boot", "sneaker"):
        PIL.Image.fromarray(noise(len(label), 64)).save(folder / f"images/train/{label}/new.png")
    lost = gone(folder)
    name = next(name for name in sorted((folder / "images/validation").glob("*/*")))
    PIL.Image.fromarray(noise(9, 64)).save(name)
    rename(folder)
    plan = made(job(folder, 2, 1))
    found = store(folder).json(keys.diff(V2))
    assert (found["version"], found["previous"]) == (2, 1)
    assert found["source"] == {"new": 2, "changed": 1, "gone": 1}
    changes = {"added": plan.planned, "carried": plan.carried_samples, "removed": plan.removed, "restored": 0}
    assert found["samples"] == changes
    label = lost.split("/")[1]
    assert found["before"]["classes"] == {label: {"real": 10, "generated": 12} for label in ("boot", "sneaker")}
    assert found["after"]["classes"][label] == {"real": 10, "generated": 12}
    assert found["before"]["groups"] == {}
    assert found["before"]["evaluation"] is None
    assert compare(store(folder), "shoes", 2, 1) == found


def test_the_same_refresh_has_the_same_bytes_wherever_it_is_done(folder: Path, tmp_path: Path) -> None:
    gone(folder)
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    work = job(folder, 2, 1)
    plan = work.plan
    work.learn()
    for number in reversed(range(plan.written_shards)):
        job(folder, 2, 1).generate([number])  # each as another process would
    made(job(folder, 2, 1))
    made(job(other, 2, 1))
    ours, theirs = tree(folder, V2), tree(other, V2)
    told_where = {f"{V2}/{name}" for name in ("spec.json", "plan.json", "manifest.json", "README.md")}  # the folder's path
    assert {k: v for k, v in ours.items() if k not in told_where} == {k: v for k, v in theirs.items() if k not in told_where}
    assert replace(plan, spec="") == replace(job(other, 2, 1).plan, spec="")


def test_a_version_that_is_removed_leaves_what_others_hold(folder: Path) -> None:
    gone(folder)
    plan = made(job(folder, 2, 1))
    expected, hashes = samples(folder, V2), tree(folder, V2)
    discard(store(folder), "shoes", 1, lambda: [2])
    whole = [part.key for part in plan.carried if part.whole]
    left = set(whole) | {key for part in whole for key in keys.reports_beside(part)}
    assert set(whole) < set(store(folder).keys(V1 + "/")) < left
    assert samples(folder, V2) == expected
    assert tree(folder, V2) == hashes
    made(job(folder, 3, 2, amount={"per_class": 13}))
    discard(store(folder), "shoes", 2, lambda: [3])
    assert {row["index"] for row in samples(folder, V3)} > {row["index"] for row in expected}
    discard(store(folder), "shoes", 3, list)
    assert store(folder).keys("datasets") == []


def test_a_refresh_whose_base_was_deleted_meanwhile_is_published_without_a_diff(folder: Path) -> None:
    gone(folder)
    work = job(folder, 2, 1)
    for number in range(work.plan.written_shards):
        work.generate([number])
    work.finalize()
    discard(store(folder), "shoes", 1, lambda: [2])
    made(job(folder, 2, 1))
    assert store(folder).exists(keys.manifest(V2))
    assert not store(folder).exists(keys.diff(V2))


def test_without_the_version_before_it_there_is_nothing_to_refresh(folder: Path) -> None:
    with pytest.raises(StoreError, match="version 5 of 'shoes', which was to be refreshed, is not there"):
        job(folder, 6, 5).plan  # noqa: B018
