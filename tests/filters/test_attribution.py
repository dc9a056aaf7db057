"""The attribution head: the change inside the region must speak for the painted class."""

import numpy as np
import pytest

from pipelines.filters.attribution import Attribution
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Image, Item, Mask
from pipelines.spec import AttributionFilter, Saliency
from tests.builders import SIDE, candidate, noise, open_resources

BOOT, SNEAKER = (
    Item("train/boot/0.png", "0" * 64, "boot", "grass"),
    Item("train/sneaker/0.png", "1" * 64, "sneaker", "brick"),
)
WHOLE = np.ones((SIDE, SIDE), dtype=np.bool_)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"), classifier={"steps": 20, "batch": 16})


def filtered(resources: Resources, limit: float, steps: int = 16) -> Attribution:
    return Attribution(resources, AttributionFilter(type="attribution", min_logits=limit, steps=steps))


def repainted(before: Image, after: Image, label: str = "boot", source: Item = SNEAKER, mask: Mask = WHOLE) -> Candidate:
    return candidate(after, label=label, source=source, image=before, mask=mask)


def rise(resources: Resources, made: Candidate) -> float:
    """How far the logit of the painted class rose, by the judge itself."""
    assert made.request.image is not None
    before, after = resources.judge.scores([made.request.image, made.image])
    return float((after - before)[resources.source.classes.index(made.request.label)])


def test_over_the_whole_picture_the_parts_add_up_to_the_change_of_the_logit(resources: Resources) -> None:
    """Completeness of integrated gradients, each candidate with its own original, label and sign, in a mixed stream."""
    images = resources.view.images(resources.source.splits["test"])
    made = [repainted(images[i], images[i + 8], ("boot", "sneaker")[i % 2], (SNEAKER, BOOT)[i % 2]) for i in range(6)]
    mixed = [candidate(noise(0)), *made[:3], candidate(noise(1), source=BOOT, image=noise(2), mask=WHOLE), *made[3:]]
    verdicts = filtered(resources, 0.0, steps=64).judge(mixed)
    assert [bool(verdict.scores) for verdict in verdicts] == [False, True, True, True, False, True, True, True]
    found = [verdict.scores["target"] for verdict in verdicts if verdict.scores]
    assert found == pytest.approx([rise(resources, each) for each in made], abs=0.02)


def test_what_speaks_against_its_class_is_dropped_with_the_reason(resources: Resources) -> None:
    images = resources.view.images(resources.source.splits["test"])
    there, back = repainted(images[0], images[12]), repainted(images[12], images[0])
    one, other = filtered(resources, 0.0).judge([there, back])
    assert one.scores["target"] == pytest.approx(-other.scores["target"], abs=1e-3)
    assert {one.kept, other.kept} == {True, False}
    assert {one.reason, other.reason} == {None, "the painted region does not speak for its class"}


def test_the_spec_draws_the_line_in_logits(resources: Resources) -> None:
    images = resources.view.images(resources.source.splits["test"])
    made = repainted(images[0], images[12])
    value = filtered(resources, 0.0).judge([made])[0].scores["target"]
    assert filtered(resources, value - 0.01).judge([made])[0].kept
    assert not filtered(resources, value + 0.01).judge([made])[0].kept


def test_only_the_change_inside_the_region_counts(resources: Resources) -> None:
    images = resources.view.images(resources.source.splits["test"])
    left = np.zeros((SIDE, SIDE), dtype=np.bool_)
    left[:, :16] = True
    painted = np.where(left[..., None], images[12], images[0])
    inside, outside = filtered(resources, 0.0).judge(
        [repainted(images[0], painted, mask=left), repainted(images[0], painted, mask=~left)]
    )
    assert abs(inside.scores["target"]) > 0.001
    assert outside.scores["target"] == 0


@pytest.mark.parametrize("source", [BOOT, None], ids=["own class", "from nothing"])
def test_without_a_change_of_class_there_is_nothing_to_attribute(resources: Resources, source: Item | None) -> None:
    image = None if source is None else noise(1)
    made = candidate(noise(0), label="boot", source=source, image=image, mask=None if source is None else WHOLE)
    assert [(v.kept, v.scores) for v in filtered(resources, 1e6).judge([made])] == [(True, {})]
    assert filtered(resources, 1e6).judge([]) == []


@pytest.mark.parametrize("saliency", ["grad_cam", "smoothgrad"])
def test_other_measures_drop_and_keep_by_the_same_line(resources: Resources, saliency: Saliency) -> None:
    images = resources.view.images(resources.source.splits["test"])
    there, back = repainted(images[0], images[12]), repainted(images[12], images[0])
    spec = AttributionFilter(type="attribution", min_logits=0.0, saliency=saliency)
    panel = Attribution(resources, spec)
    panel.learn(("boot", "sneaker"))
    one, other = panel.judge([there, back])
    assert {one.kept, other.kept} == {True, False}
    assert panel.judge([back])[0].scores["target"] == pytest.approx(other.scores["target"], abs=1e-4)
