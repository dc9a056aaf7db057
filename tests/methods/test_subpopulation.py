"""Subpopulations: what is asked of the engine, and that no group label is read on the way. Costs half a minute."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.job import Job
from pipelines.learning.resources import Resources
from pipelines.methods.subpopulation import SubpopulationMethod, inverse_density
from pipelines.progress import Silent
from pipelines.prompts import token_names
from pipelines.records import Item, PlannedImage
from pipelines.spec import Subpopulation
from pipelines.store.object_store import Store
from pipelines.version.preview import preview
from pipelines.version.rows import read_shards
from pipelines.vision.models import Models
from tests.builders import CPU, open_resources, spec

METHOD = {
    "type": "subpopulation",
    "steps": 2,
    "inversion": {"vectors": 2, "images": 8, "steps": 3, "batch": 4},
}
EVALUATION = {"arms": ["erm", "counterpoise"], "seeds": [0], "checkpoint": "generated", "recipe": "retrained"}


def changes(**more: Any) -> dict[str, Any]:
    return {"method": METHOD, "models": {}, "amount": {"per_class": 8}, "shard_size": 6, **more}


@pytest.fixture
def method(tmp_path: Path) -> SubpopulationMethod:
    resources = open_resources(tmp_path, **changes())
    assert isinstance(resources.spec.method, Subpopulation)
    opened = SubpopulationMethod(resources, resources.spec.method)
    opened.learn()
    return opened


def planned(count: int) -> list[PlannedImage]:
    return [PlannedImage(rank, "boot", None, rank) for rank in range(count)]


def test_the_share_of_a_cluster_is_as_one_over_its_size_to_a_power() -> None:
    assert inverse_density([475, 25], 1) == pytest.approx([0.05, 0.95])
    assert inverse_density([400, 25], 0.5) == pytest.approx([0.2, 0.8])
    assert inverse_density([300, 7, 4], 0) == pytest.approx([1 / 3] * 3)


def test_a_prompt_has_the_token_of_the_class_and_that_of_a_context(method: SubpopulationMethod) -> None:
    for image, request in zip(planned(6), method.requests(planned(6), 0), strict=True):
        context = f"<context/{method.subpopulations.contexts['boot'][method.cluster(image)]}>"
        tokens = " ".join([*token_names("<boot>", 2), "boot", *token_names(context, 2)])
        assert request.prompt == f"a photo of a {tokens}"
        assert request.concept == method.tokens.learned[context].key
        assert (request.source, request.image) == (None, None)


def test_what_clusters_of_two_classes_come_with_is_one_token(method: SubpopulationMethod) -> None:
    contexts = method.subpopulations.contexts
    assert set(method.tokens.learned) == {
        "<boot>",
        "<sneaker>",
        *(f"<context/{c}>" for own in contexts.values() for c in own),
    }
    assert {c for own in contexts.values() for c in own} <= {"boot", "sneaker"}


def test_the_fewer_real_images_a_cluster_has_the_more_are_drawn(method: SubpopulationMethod) -> None:
    sizes = [len(own) for own in method.subpopulations.members["boot"]]
    drawn = Counter(method.cluster(image) for image in planned(200))
    for number, share in enumerate(inverse_density(sizes, method.spec.density)):
        assert drawn[number] == pytest.approx(200 * share, abs=3)
    some = Counter(method.cluster(image) for image in planned(200)[1::4])  # a shard's
    assert some[0] == pytest.approx(drawn[0] / 4, abs=3)


def test_a_preview_draws_by_name_until_tokens_are_learned_and_learns_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    asked = spec(**changes())
    glance = preview(asked, store, 2, Models(asked.models, CPU))
    assert [one.request.prompt for one in glance.candidates] == ["a photo of a boot", "a photo of a sneaker"]
    assert not glance.learned
    assert not store.keys("concepts")


class Guarded(Item):
    """An item whose group may not be read: neither looked at, nor compared, hashed or pickled."""

    @property
    def group(self) -> str | None:  # type: ignore[override]
        raise AssertionError("a group label was read")

    @group.setter
    def group(self, value: str | None) -> None: ...


def guard(resources: Resources) -> None:
    """From here on, reading a group of a training or validation image is an error. That it is part of what a source is
    recognised by, and counted for amounts, is done before."""
    source = resources.source
    for split in ("train", "validation"):
        source.splits[split] = [Guarded(item.id, item.sha256, item.label, None) for item in source.splits[split]]
    vars(source).pop("members", None)


def guarded_job(folder: Path, **evaluation: Any) -> Job:
    job = Job(spec(**changes(evaluation={**EVALUATION, **evaluation})), Store.open(folder), Silent())
    job.check()
    assert job.plan.planned == 16
    guard(job.resources)
    return job


def test_no_group_label_is_read_on_the_way(tmp_path: Path) -> None:
    """Through all that makes a version and judges it; the test images' groups are what its figures are by."""
    job = guarded_job(tmp_path)
    job.learn()
    job.generate(range(job.plan.shards))
    job.finalize()
    evaluation = job.evaluate()
    assert set(evaluation["arms"]["counterpoise"]["groups"]) == {
        f"{label} on {scene}" for label in ("boot", "sneaker") for scene in ("grass", "brick")
    }
    rows = read_shards(job.store, job.resources.root, job.plan)
    assert len(rows) == 16
    assert {row["group"] for row in rows} == {None}


@pytest.mark.parametrize("reader", [{"checkpoint": "best", "recipe": "mixed"}, {"arms": ["group_dro", "counterpoise"]}])
def test_what_reads_group_labels_is_noticed(tmp_path: Path, reader: dict[str, Any]) -> None:
    job = guarded_job(tmp_path, **reader)
    job.learn()
    job.generate(range(job.plan.shards))
    job.finalize()
    with pytest.raises(AssertionError, match="a group label was read"):
        job.evaluate()
