"""Near duplicates: copies of the source or of one another go, different garments stay."""

import numpy as np
import pytest

from pipelines.filters import Panel
from pipelines.filters.near_duplicate import NearDuplicate
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Image, Mask
from pipelines.spec import NearDuplicateFilter
from tests.builders import candidate, judge_shard, noise, open_resources


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"), models={"resolution": 64})


@pytest.fixture(scope="module")
def garments(resources: Resources) -> list[tuple[Image, Mask]]:
    """Real pictures, each with the box around its garment."""
    items = resources.source.splits["train"][:12]
    assert resources.source.truth is not None
    boxes = []
    for item in items:
        rows, columns = np.nonzero(resources.source.truth(item))
        box = np.zeros((64, 64), dtype=np.bool_)
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
        boxes.append(box)
    return list(zip(resources.view.images(items), boxes, strict=True))


def reasons(
    resources: Resources, candidates: list[Candidate], kept: list[Candidate] | None = None, distance: int = 3
) -> list[str | None]:
    """Of the candidates of an attempt, after those that an earlier one has kept."""
    panel = Panel(resources)
    panel.filters = {"near": NearDuplicate(resources, NearDuplicateFilter(type="near_duplicate", distance=distance))}
    comparisons = panel.comparisons()
    comparisons.judge(panel.judge(kept or []))
    reasons = [sample.verdict.reason for sample in judge_shard(panel, candidates, comparisons)]
    return [reason and reason.removeprefix("near: ") for reason in reasons]


def test_an_unchanged_source_is_dropped(resources: Resources, garments: list[tuple[Image, Mask]]) -> None:
    found = reasons(resources, [candidate(image, image=image, mask=mask) for image, mask in garments])
    assert found == ["repeats its source"] * len(garments)


def test_a_brighter_source_is_still_the_source(resources: Resources, garments: list[tuple[Image, Mask]]) -> None:
    image, mask = garments[0]
    brighter = np.clip(image * 1.1, 0, 255).astype(np.uint8)
    assert reasons(resources, [candidate(brighter, image=image, mask=mask)]) == ["repeats its source"]


def test_different_garments_are_kept(resources: Resources, garments: list[tuple[Image, Mask]]) -> None:
    assert reasons(resources, [candidate(image, mask=mask) for image, mask in garments]) == [None] * len(garments)


def test_another_garment_in_the_same_place_is_no_repetition(
    resources: Resources, garments: list[tuple[Image, Mask]]
) -> None:
    (source, mask), (other, _) = garments[0], garments[1]
    painted = np.where(mask[..., None], other, source)
    assert reasons(resources, [candidate(painted, image=source, mask=mask)]) == [None]


def test_of_two_copies_the_first_stays(resources: Resources) -> None:
    pictures = [noise(1), noise(2), noise(1), noise(1)]
    assert reasons(resources, [candidate(p) for p in pictures]) == [
        None,
        None,
        "repeats another image",
        "repeats another image",
    ]


def test_a_copy_of_what_was_kept_at_an_earlier_attempt_is_dropped(resources: Resources) -> None:
    assert reasons(resources, [candidate(noise(1)), candidate(noise(2))], [candidate(noise(2))]) == [
        None, "repeats another image",
    ]  # fmt: skip


def test_what_is_dropped_does_not_stand_in_the_way_of_others(resources: Resources) -> None:
    """A copy of its source is not there: something like it may still be made from another source."""
    copy, like_it = candidate(noise(1), image=noise(1)), candidate(noise(1), image=noise(5))
    assert reasons(resources, [copy, like_it]) == ["repeats its source", None]


def test_the_same_picture_outside_the_region_is_no_repetition(resources: Resources) -> None:
    mask = np.zeros((32, 32), dtype=np.bool_)
    mask[4:28, 4:28] = True
    image = noise(1)
    painted = np.where(mask[..., None], noise(2), image)
    assert reasons(resources, [candidate(painted, image=image, mask=mask)]) == [None]


def test_others_are_compared_by_embedding_from_the_first_attempt_on(resources: Resources) -> None:
    boot, sneaker = (resources.view.images(resources.source.of(label)[:1])[0] for label in ("boot", "sneaker"))
    panel = Panel(resources)
    comparison = NearDuplicate(resources, NearDuplicateFilter(type="near_duplicate", similarity=0.97)).comparison()
    attempts = [[boot, sneaker], [], [np.ascontiguousarray(boot[:, ::-1])]]
    verdicts = [comparison.judge(panel.judge([candidate(image) for image in attempt])) for attempt in attempts]
    assert [[verdict.reason for verdict in attempt] for attempt in verdicts] == [
        [None, None], [], ["repeats another image"],
    ]  # fmt: skip
    assert verdicts[2][0].scores["to_others_cosine"] >= 0.97


def test_distances_are_bits_of_64_and_the_spec_draws_the_line(resources: Resources) -> None:
    panel = NearDuplicate(resources, NearDuplicateFilter(type="near_duplicate"))
    first, second = panel.judge([candidate(noise(1), image=noise(3)), candidate(noise(2), image=noise(2))])
    assert 3 < first.scores["to_source"] <= 64
    assert "to_others" not in first.scores
    assert second.scores == {"to_source": 0}
    assert reasons(resources, [candidate(noise(1), image=noise(3))], distance=64) == ["repeats its source"]
    assert reasons(resources, [candidate(noise(1), image=noise(1))], distance=0) == ["repeats its source"]


def test_an_image_learned_by_heart_is_dropped(resources: Resources) -> None:
    """What is new as a whole is compared with every training image of its class, and with no other's."""
    boot, sneaker = (resources.view.images(resources.source.of(label)[:1])[0] for label in ("boot", "sneaker"))
    assert reasons(resources, [candidate(boot), candidate(sneaker)]) == ["repeats a real image", None]


def test_embeddings_find_what_hashes_do_not(resources: Resources) -> None:
    """A mirrored image has another hash, but nearly the same embedding."""
    (boot,) = resources.view.images(resources.source.of("boot")[3:4])
    mirrored = candidate(np.ascontiguousarray(boot[:, ::-1]))
    assert reasons(resources, [mirrored]) == [None]
    panel = NearDuplicate(resources, NearDuplicateFilter(type="near_duplicate", similarity=0.97))
    (verdict,) = panel.judge([mirrored])
    assert verdict.reason == "repeats a real image"
    assert verdict.scores["to_real_cosine"] >= 0.97
