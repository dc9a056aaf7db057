"""The probe as a filter: what is most easily told from real images goes, by a probe that has not learned from it. On the
bundled CLIP. Five seconds."""

from collections.abc import Sequence

import numpy as np
import pytest

from pipelines.filters.probe import Detectable, Probe
from pipelines.learning.resources import Resources
from pipelines.records import Image, Sample, Verdict
from pipelines.spec import ProbeFilter
from tests.builders import candidate, open_resources

LABELS = ("boot", "sneaker")


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """Real images to learn from, and others, in `test`, that are taken for generated ones."""
    source = {"type": "few-shot", "classes": LABELS, "shots": 80, "validation": 16, "test": 120}
    return open_resources(tmp_path_factory.mktemp("store"), source=source, models={"resolution": 64})


def tinted(image: Image) -> Image:
    """As a generator with a fault would draw it."""
    return np.clip(image * np.array([1.0, 0.6, 1.4]), 0, 255).astype(np.uint8)


def samples(resources: Resources, faulty: Sequence[int]) -> list[Sample]:
    items = resources.source.splits["test"]
    images = resources.view.images(items)
    chosen = [tinted(image) if n in faulty else image for n, image in enumerate(images)]
    made = [candidate(image, index=n, label=items[n].label) for n, image in enumerate(chosen)]
    return [Sample(one, Verdict()) for one in made]


def comparison(resources: Resources, drop: float = 0.2) -> Detectable:
    filter_ = Probe(resources, ProbeFilter(type="probe", drop=drop))
    filter_.learn(LABELS)
    return filter_.comparison()


def test_the_share_that_is_most_easily_told_from_real_images_is_dropped(resources: Resources) -> None:
    faulty = range(0, 120, 5)
    made = samples(resources, faulty)
    verdicts = comparison(resources).judge(made)
    dropped = [n for n, verdict in enumerate(verdicts) if not verdict.kept]
    assert len(dropped) == pytest.approx(24, abs=1)
    assert len({*dropped} & {*faulty}) >= 18
    assert {verdicts[n].reason for n in dropped} == {f"too easily told from a real {label}" for label in LABELS}
    for label in LABELS:
        scores = [
            v.scores["detectability"] for v, s in zip(verdicts, made, strict=True) if s.candidate.request.label == label
        ]
        kept = [v.kept for v, s in zip(verdicts, made, strict=True) if s.candidate.request.label == label]
        assert np.mean(kept) == pytest.approx(0.8, abs=0.02)
        assert min(s for s, k in zip(scores, kept, strict=True) if not k) > max(
            s for s, k in zip(scores, kept, strict=True) if k
        )


def test_later_attempts_are_held_against_the_first(resources: Resources) -> None:
    faulty = range(0, 100, 5)
    shard = comparison(resources)
    shard.judge(samples(resources, faulty)[:100])
    again = samples(resources, range(100, 110))[100:]
    kept = [verdict.kept for verdict in shard.judge(again)]
    assert sum(kept[:10]) <= 3
    assert sum(kept[10:]) >= 7
    assert shard.judge([]) == []


def test_of_few_images_nothing_can_be_told(resources: Resources) -> None:
    shard = comparison(resources)
    few = samples(resources, range(120))[:5]
    assert shard.judge(few) == [Verdict()] * 5
    assert shard.probe is None
    assert shard.filter.judge([one.candidate for one in few]) == [Verdict()] * 5


def test_the_real_images_are_those_of_the_store(resources: Resources) -> None:
    filter_ = Probe(resources, ProbeFilter(type="probe", images=10))
    rows = filter_.real_features("boot")
    assert rows.shape == (10, resources.models.clip.model.config.projection_dim + 15)
    again = Probe(resources, ProbeFilter(type="probe", images=10)).real_features("boot")
    assert np.array_equal(rows, again)
