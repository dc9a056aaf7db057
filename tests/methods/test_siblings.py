"""Siblings: images of one prompt. A second or two."""

from collections import defaultdict
from pathlib import Path

from pipelines.methods import open_method
from pipelines.records import PlannedImage, Quota, Request, Sample, Verdict
from pipelines.version import rows
from pipelines.version.plan import Plan
from tests.builders import candidate, noise, open_resources

WORDS = {
    "templates": ["a photo of a {} {n}", "a picture of a {} {n}"],
    "words": {"n": [f"number {n}" for n in range(1000)]},
}
METHOD = {"type": "text_to_image", "siblings": 3, **WORDS}


def requests(folder: Path, planned: list[PlannedImage], attempt: int = 0, siblings: int = 3) -> list[Request]:
    return open_method(open_resources(folder, method={**METHOD, "siblings": siblings})).requests(planned, attempt)


def test_siblings_share_a_prompt_across_shards_and_attempts_and_differ_in_noise(tmp_path: Path) -> None:
    plan = Plan("", "", (Quota("boot", None, 8), Quota("sneaker", None, 4)), 5)
    assert plan.generated_shards == 3
    groups: dict[str | None, list[Request]] = defaultdict(list)
    for shard in range(3):
        for attempt in range(2):
            for request in requests(tmp_path, plan.shard(shard), attempt):
                groups[request.group_id].append(request)
    sizes = {group: sorted({request.index for request in own}) for group, own in groups.items()}
    assert sizes == {
        "00000000": [0, 1, 2],
        "00000003": [3, 4, 5],
        "00000006": [6, 7],
        "00000008": [8, 9, 10],
        "00000011": [11],
    }
    for own in groups.values():
        assert len({(request.prompt, request.label) for request in own}) == 1
        assert len({request.seed for request in own}) == len(own)
    assert len({own[0].prompt for own in groups.values()}) == len(groups)


def test_groups_of_a_refresh_are_of_its_own_images(tmp_path: Path) -> None:
    """Not of what was carried over, though new images go on where that ended."""
    plan = Plan("", "", (Quota("boot", None, 4, carried=5),), 9, previous=1, first=100)
    planned = plan.shard(0)
    assert [image.rank for image in planned] == [5, 6, 7, 8]
    assert [request.group_id for request in requests(tmp_path, planned)] == ["00000100"] * 3 + ["00000103"]


def test_alone_every_image_has_a_prompt_of_its_own_drawn_by_its_own_seed_and_no_group(tmp_path: Path) -> None:
    planned = Plan("", "", (Quota("boot", None, 6),), 9).shard(0)
    alone = requests(tmp_path, planned, siblings=1)
    assert {request.group_id for request in alone} == {None}
    assert len({request.prompt for request in alone}) == 6
    first = requests(tmp_path, planned)
    assert [(a.prompt, a.seed) for a in alone[::3]] == [(b.prompt, b.seed) for b in first[::3]], "groups begin as these do"


def test_the_group_is_a_column(tmp_path: Path) -> None:
    samples = [Sample(candidate(noise(1), group_id=group), Verdict()) for group in ("00000003", None)]
    assert [row["group_id"] for row in rows.read(rows.encode(samples, open_resources(tmp_path)))] == ["00000003", None]
