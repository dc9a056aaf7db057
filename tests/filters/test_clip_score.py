"""CLIP scores: real pictures pass under their own label and fail under others, by name and by images."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.errors import ModelError
from pipelines.filters import Panel
from pipelines.filters.clip_score import ClipScore
from pipelines.learning.resources import Resources
from pipelines.records import Candidate, Sample, Verdict
from pipelines.spec import ClipScoreFilter
from tests.builders import candidate, open_resources

GARMENTS = ("trousers", "bag", "dress")
FEW = {"type": "few-shot", "classes": GARMENTS, "shots": 8, "validation": 12, "test": 90}


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"), source=FEW, models={"resolution": 64})


def shown(resources: Resources, wrong: bool = False) -> list[Candidate]:
    """Real test pictures as candidates, under their own label or the next one."""
    items = resources.source.splits["test"]
    labels = [GARMENTS[(GARMENTS.index(item.label) + wrong) % 3] for item in items]
    return [candidate(x, label=label) for x, label in zip(resources.view.images(items), labels, strict=True)]


def judged(resources: Resources, candidates: list[Candidate], **changes: Any) -> list[Verdict]:
    return ClipScore(resources, ClipScoreFilter(type="clip_score", **changes)).judge(candidates)


def best(resources: Resources, attempts: list[list[Candidate]], top: float) -> list[list[Sample]]:
    """What the attempts of a shard become where the `top` share of a class is kept."""
    panel = Panel(resources)
    panel.filters = {"clip_score": ClipScore(resources, ClipScoreFilter(type="clip_score", min_share=0, top=top))}
    comparisons = panel.comparisons()
    return [comparisons.judge(panel.judge(candidates)) for candidates in attempts]


def own(sample: Sample) -> float:
    return sample.verdict.scores["clip_score.own"]


@pytest.mark.parametrize("classes", ["names", "images"])
def test_real_pictures_pass_as_what_they_are_and_fail_as_what_they_are_not(resources: Resources, classes: str) -> None:
    right = [verdict.kept for verdict in judged(resources, shown(resources), classes=classes)]
    wrong = judged(resources, shown(resources, wrong=True), classes=classes)
    assert np.mean(right) > 0.7
    assert np.mean([verdict.kept for verdict in wrong]) < 0.3
    assert {verdict.reason for verdict in wrong if not verdict.kept} == {f"does not look like a {g}" for g in GARMENTS}


def test_a_class_goes_by_the_name_that_the_spec_gives(resources: Resources, tmp_path: Path) -> None:
    """By each other's names, all are taken for another."""
    names = dict(zip(GARMENTS, (*GARMENTS[1:], GARMENTS[0]), strict=True))
    models = {"resolution": 64}
    swapped = open_resources(tmp_path, source=FEW, models=models, method={"type": "text_to_image", "names": names})
    kept = [verdict.kept for verdict in judged(swapped, shown(resources))]
    assert np.mean(kept) < 0.3


def test_scores_are_shares_and_the_line_is_an_even_one_unless_given(resources: Resources) -> None:
    verdicts = judged(resources, shown(resources))
    for verdict in verdicts:
        assert 0 <= verdict.scores["own"] <= 1
        assert verdict.kept == (verdict.scores["own"] > 1 / 3)
    strict = judged(resources, shown(resources), min_share=0.9)
    assert [v.kept for v in strict] == [v.scores["own"] > 0.9 for v in verdicts]


def test_the_best_of_each_class_are_kept_alone(resources: Resources) -> None:
    candidates = shown(resources)
    (samples,) = best(resources, [candidates], 0.25)
    for label in GARMENTS:
        mine = [sample for sample in samples if sample.candidate.request.label == label]
        kept = [own(sample) for sample in mine if sample.verdict.kept]
        assert len(kept) == math.ceil(len(mine) / 4)
        dropped = [sample for sample in mine if not sample.verdict.kept]
        assert min(kept) >= max(map(own, dropped))
        assert {sample.verdict.reason for sample in dropped} == {f"clip_score: not among the best of {label}"}


def test_later_attempts_are_held_against_the_first_until_another_shard_begins(resources: Resources) -> None:
    filter_ = ClipScore(resources, ClipScoreFilter(type="clip_score", min_share=0, top=0.25))
    candidates = [c for c in shown(resources) if c.request.label == "bag"]
    candidates.sort(key=lambda c: filter_.own([c])[0])
    first, worst, nicest = candidates[::2], candidates[1], candidates[-1]
    samples, *later = best(resources, [first, [worst], [nicest], [], [worst], [nicest]], 0.25)
    scores = [own(sample) for sample in samples if sample.verdict.kept]
    assert len(scores) == math.ceil(len(first) / 4)
    assert [[sample.verdict.kept for sample in attempt] for attempt in later] == [[False], [True], [], [False], [True]]
    assert own(later[1][0]) >= min(scores)
    ((alone,),) = best(resources, [[worst]], 0.25)
    assert alone.verdict.kept, "alone in its shard, it is the best"


def test_a_class_that_the_first_attempt_has_none_of_is_measured_when_it_comes(resources: Resources) -> None:
    by_label = {g: [c for c in shown(resources) if c.request.label == g] for g in GARMENTS}
    _, samples = best(resources, [by_label["bag"], by_label["dress"]], 0.5)
    assert sum(sample.verdict.kept for sample in samples) == math.ceil(len(samples) / 2)


def test_no_candidates_no_verdicts(resources: Resources) -> None:
    assert judged(resources, []) == []


def test_features_do_not_depend_on_the_batch_and_agree_with_the_model(resources: Resources) -> None:
    """Oracle: CLIPModel itself, which scores images against texts in one forward."""
    clip = ClipScore(resources, ClipScoreFilter(type="clip_score")).clip
    images = resources.view.images(resources.source.splits["test"][:5])
    together = clip.embed_images(images)
    assert torch.allclose(together.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(together, torch.cat([clip.embed_images([image]) for image in images]), atol=1e-5)
    prompts = [f"a photo of a {g}" for g in GARMENTS]
    inputs = clip.processor(text=prompts, images=images, return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = clip.model(**inputs)
    assert torch.allclose(together, expected.image_embeds, atol=1e-5)
    assert torch.allclose(
        clip.probabilities(together, expected.text_embeds), expected.logits_per_image.softmax(dim=1), atol=1e-4
    )


def test_a_checkpoint_that_is_none_is_named(tmp_path: Path) -> None:
    models = {"resolution": 64, "clip": str(tmp_path)}
    with pytest.raises(ModelError, match=r"^models.clip: '.*' has no config.json; give the folder of a CLIP checkpoint"):
        ClipScore(open_resources(tmp_path, source=FEW, models=models), ClipScoreFilter(type="clip_score")).clip  # noqa: B018
