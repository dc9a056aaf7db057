"""A version that several checkpoints draw: each image is what its checkpoint draws alone for the same planned image."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.backbones.revision import revision_of
from pipelines.job import Job
from pipelines.learning.resources import Resources
from pipelines.progress import Silent
from pipelines.spec import Machine, VersionSpec
from pipelines.store import keys
from pipelines.store.canonical import digest
from pipelines.store.object_store import Store
from pipelines.version import rows
from pipelines.version.preview import preview
from pipelines.version.refresh import comparable
from pipelines.vision.models import Models
from tests.builders import spec
from tests.checkpoints import build_pixart, build_xl

FILTERS = [{"type": "quality", "min_contrast": 0.0065, "min_sharpness": 0}]  # drops some of the first checkpoint's images
SHARES = (0.25, 0.25)
Row = dict[str, Any]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Checkpoints of another family, and one that is run whole."""
    folder = tmp_path_factory.mktemp("others")
    return [build_xl(folder / "xl"), build_pixart(folder / "pixart")]


def shared(first: Path, others: list[Path], **changes: Any) -> VersionSpec:
    further = [{"text_to_image": str(path), "share": share} for path, share in zip(others, SHARES, strict=False)]
    document: dict[str, Any] = {
        "models": {"text_to_image": str(first), "further": further, "resolution": 32},
        "method": {
            "type": "text_to_image",
            "steps": 2,
            "templates": ["a {colour} {}"],
            "words": {"colour": ["red", "blue"]},
        },
        "amount": {"per_class": 12},
        "filters": FILTERS,
        "max_attempts": 3,
        "shard_size": 8,
    }
    return spec(**{**document, **changes})


def generated(folder: Path, document: VersionSpec, number: int = 1, previous: int | None = None) -> Job:
    """By a batch of one image, so that it is the same to the bit whatever else is drawn."""
    models = Models(document.models, Machine(device="cpu", capacity=1))
    job = Job(document, Store.open(folder), Silent(), number, previous, models)
    job.check()
    job.generate(range(job.plan.written_shards))
    job.finalize()
    return job


def images(job: Job) -> dict[tuple[int, int], Row]:
    """All images, kept and dropped, by index and attempt."""
    read = [
        row
        for rejected in (False, True)
        for row in rows.read_shards(job.store, job.resources.root, job.plan, rejected=rejected)
    ]
    return {(row["index"], row["attempt"]): row for row in read}


@pytest.fixture(scope="module")
def version(tiny_checkpoint: Path, others: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Job:
    return generated(tmp_path_factory.mktemp("shared"), shared(tiny_checkpoint, others))


def test_each_image_is_to_the_bit_what_its_checkpoint_draws_alone(
    version: Job, tiny_checkpoint: Path, others: list[Path], tmp_path: Path
) -> None:
    made = images(version)
    attempts = Counter(attempt for _, attempt in made)
    assert 24 == attempts[0] > attempts[1] > attempts[2] > 0, "the filter drops some, and not all"
    compared = 0
    for path in (tiny_checkpoint, *others):
        alone = images(generated(tmp_path / path.name, shared(path, [])))
        own = {key: row for key, row in made.items() if row["model"] == str(path)}
        planned = {index for index, _ in own}
        assert {key: row for key, row in alone.items() if key[0] in planned} == own, "images, seeds, scores, reasons: all"
        assert {row["revision"] for row in own.values()} == {revision_of(path)}
        compared += len(own)
    assert compared == len(made)


def test_every_class_has_its_shares_and_an_image_stays_with_its_checkpoint(version: Job, others: list[Path]) -> None:
    models: dict[int, set[str]] = {}
    for (index, _), row in images(version).items():
        models.setdefault(index, set()).add(row["model"])
    assert {len(own) for own in models.values()} == {1}
    for label in version.plan.per_class:
        of_class = [models[i].copy().pop() for i in models if version.plan.image(i).label == label]
        assert all(abs(of_class.count(str(path)) - 3) <= 1 for path in others)


def test_shards_and_batches_change_nothing(version: Job, tiny_checkpoint: Path, others: list[Path], tmp_path: Path) -> None:
    other = images(generated(tmp_path, shared(tiny_checkpoint, others, shard_size=100)))
    made = images(version)
    assert {key: row["image"] for key, row in other.items()} == {key: row["image"] for key, row in made.items()}
    assert {key: row["model"] for key, row in other.items()} == {key: row["model"] for key, row in made.items()}


def test_the_card_names_all_with_revision_and_share_and_loads_none(
    version: Job, tiny_checkpoint: Path, others: list[Path]
) -> None:
    assert set(version.resources.models.loaded) == {"text_to_image", "further"}
    text = version.store.get(keys.card(version.resources.root)).decode()
    for path, share in zip((tiny_checkpoint, *others), ("50%", "25%", "25%"), strict=True):
        assert f"{path}, revision {revision_of(path)}, {share}" in text
    report = version.store.json(keys.report(version.resources.root, 0))
    assert report["revisions"].keys() <= {str(path) for path in (tiny_checkpoint, *others)}
    fresh = Job(version.spec, version.store, Silent())
    fresh.finalize()
    assert fresh.resources.loaded == []


def test_another_share_is_another_version(tiny_checkpoint: Path, others: list[Path]) -> None:
    one, two = shared(tiny_checkpoint, others), shared(tiny_checkpoint, others[:1])
    further = [one.models.further[0].model_copy(update={"share": 0.3}), *one.models.further[1:]]
    three = one.model_copy(update={"models": one.models.model_copy(update={"further": tuple(further)})})
    assert len({digest(each.model_dump(mode="json")) for each in (one, two, three)}) == 3
    assert comparable(one, one)
    assert not comparable(one, two)
    assert not comparable(one, three)


def test_a_refresh_goes_on_with_the_shares(tiny_checkpoint: Path, others: list[Path], tmp_path: Path) -> None:
    """One image more a class at a time falls to other checkpoints in turn."""
    plain: dict[str, Any] = {"filters": [], "method": {"type": "text_to_image", "steps": 1}}
    grown = [generated(tmp_path, shared(tiny_checkpoint, others, amount={"per_class": 1}, **plain))]
    for number in range(2, 6):
        document = shared(tiny_checkpoint, others, amount={"per_class": number}, **plain)
        grown.append(generated(tmp_path, document, number, number - 1))
    last = grown[-1]
    whole = images(generated(tmp_path / "whole", shared(tiny_checkpoint, others, amount={"per_class": 5}, **plain)))
    made = rows.read_shards(last.store, last.resources.root, last.plan)
    count = Counter((row["label"], row["model"]) for row in made)
    assert count == Counter((row["label"], row["model"]) for row in whole.values())
    assert len(count) > len(last.plan.per_class)
    assert all(str(path) in last.store.get(keys.card(last.resources.root)).decode() for path in others)


def test_a_preview_is_drawn_by_them_too(version: Job, tmp_path: Path) -> None:
    models = Models(version.spec.models, Machine(device="cpu", capacity=1))
    seen = preview(version.spec, Store.open(tmp_path), 24, models)
    assert {candidate.request.checkpoint for candidate in seen.candidates} == {0, 1, 2}
    resources = Resources(version.spec, version.store, Silent())
    made = images(version)
    for candidate in seen.candidates:
        assert resources.generator(candidate.request.checkpoint)[0] == made[candidate.request.index, 0]["model"]


def test_the_plain_arm_is_the_first_checkpoint_alone(tiny_checkpoint: Path, others: list[Path], tmp_path: Path) -> None:
    evaluation = {"arms": ["erm", "text_to_image"], "seeds": [0]}
    job = generated(
        tmp_path, shared(tiny_checkpoint, others[:1], filters=[], amount={"per_class": 4}, evaluation=evaluation)
    )
    job.evaluate()
    root = keys.plain(job.resources.root)
    made = [row for key in job.store.keys(f"{root}/data") for row in rows.read(job.store.get(key))]
    assert {row["model"] for row in made} == {str(tiny_checkpoint)}
    assert json.loads(made[0]["scores"]) == {}
