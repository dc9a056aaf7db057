"""The prediction head: own thresholds for the painted-over and the painted class, own-class repaints only for the latter."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.filters.label_agreement import LabelAgreement
from pipelines.learning.resources import Resources
from pipelines.learning.subpopulations import Subpopulations
from pipelines.progress import Silent
from pipelines.records import Candidate, Image, Item, Mask, Verdict
from pipelines.spec import LabelAgreementFilter
from pipelines.vision.classifier import probabilities
from tests.builders import candidate, noise, open_resources

BOOT, SNEAKER = (
    Item("train/boot/0.png", "0" * 64, "boot", "grass"),
    Item("train/sneaker/0.png", "1" * 64, "sneaker", "brick"),
)


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"))


def filtered(resources: Resources, **settings: Any) -> LabelAgreement:
    return LabelAgreement(resources, LabelAgreementFilter(type="label_agreement", **settings))


def said(resources: Resources, made: Candidate, boot: float, **settings: Any) -> Verdict:
    """The verdict on a candidate that the judge takes for a boot with probability `boot`."""
    return filtered(resources, **settings).one(made, np.array([boot, 1 - boot]))


OVER_SNEAKER = candidate(noise(0), label="boot", source=SNEAKER)


@pytest.mark.parametrize(
    ("boot", "settings", "reason"),
    [
        (0.8, {"max_origin": 0.3}, None),
        (0.6, {"max_origin": 0.3}, "still looks like a sneaker"),
        (0.72, {"max_origin": 0.3, "min_target": 0.75}, "does not look like a boot"),
        (0.8, {"max_origin": 0.3, "min_target": 0.75}, None),
        (0.2, {"max_origin": 1.0, "min_target": 0.1}, None),
        (0.2, {"max_origin": 1.0, "min_target": 0.3}, "does not look like a boot"),
    ],
)
def test_the_painted_over_and_the_painted_class_have_thresholds_of_their_own(
    resources: Resources, boot: float, settings: dict[str, float], reason: str | None
) -> None:
    verdict = said(resources, OVER_SNEAKER, boot, **settings)
    assert verdict.reason == reason
    assert verdict.scores == pytest.approx({"target": boot, "origin": 1 - boot})


@pytest.mark.parametrize("source", [BOOT, None], ids=["own class", "from nothing"])
def test_what_was_painted_over_nothing_else_cannot_still_look_like_it(resources: Resources, source: Item | None) -> None:
    made = candidate(noise(0), label="boot", source=source)
    verdict = said(resources, made, 0.1, max_origin=0.0)
    assert verdict.reason is None
    assert verdict.scores == pytest.approx({"target": 0.1})
    assert said(resources, made, 0.1, max_origin=0.0, min_target=0.5).reason == "does not look like a boot"


def test_by_default_a_class_may_look_as_much_like_itself_as_its_typical_images_do(resources: Resources) -> None:
    thresholds = filtered(resources).max_origin
    for number, label in enumerate(resources.source.classes):
        logits = resources.judge.scores(resources.view.images(resources.source.of(label))).double().numpy()
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert thresholds[label] == pytest.approx(shares[:, number].mean())
    assert thresholds["boot"] != thresholds["sneaker"]


def test_each_painted_over_class_is_held_to_its_own_threshold(resources: Resources) -> None:
    panel = filtered(resources)
    panel.__dict__["max_origin"] = {"boot": 0.9, "sneaker": 0.2}
    over_boot = candidate(noise(0), label="sneaker", source=BOOT)
    assert panel.one(OVER_SNEAKER, np.array([0.5, 0.5])).reason == "still looks like a sneaker"
    assert panel.one(over_boot, np.array([0.5, 0.5])).reason is None


def test_the_judge_is_asked_of_each_candidate_in_order(resources: Resources) -> None:
    images = resources.view.images(resources.source.splits["test"])
    made = [candidate(image, label=("boot", "sneaker")[i % 2], source=SNEAKER) for i, image in enumerate(images)]
    logits = resources.judge.scores(images).double().numpy()
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    verdicts = filtered(resources, max_origin=0.5).judge(made)
    assert [v.scores["target"] for v in verdicts] == pytest.approx([shares[i, i % 2] for i in range(len(images))])
    assert filtered(resources, max_origin=0.5).judge([]) == []


def test_asked_of_the_object_alone_the_background_does_not_speak(tmp_path: Path, tiny_checkpoint: Path) -> None:
    resources = open_resources(
        tmp_path,
        models={"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"},
        method={"type": "spurious_removal", "superclass": "shoe", "inversion": None},
    )
    image = resources.view.images(resources.source.splits["test"][:1])[0]
    panel = filtered(resources, view="object", max_origin=1.0)
    (mask,) = resources.view.segment([image], "shoe")
    assert mask is not None
    assert 0 < mask.sum() < mask.size
    alone = np.where(mask[..., None], image, 127).astype(np.uint8)
    logits = resources.object_judge.scores([alone]).double().numpy()[0]
    (verdict,) = panel.judge([candidate(image, label="boot", source=SNEAKER)])
    assert verdict.scores["target"] == pytest.approx(np.exp(logits[0]) / np.exp(logits).sum())


def test_objects_of_small_frames_are_looked_at_as_the_judge_learned_them(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """An image that was painted as it was, in frames of two sizes at once: the verdicts are the same."""
    resources = open_resources(
        tmp_path,
        models={"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"},
        method={"type": "spurious_removal", "superclass": "shoe", "inversion": None},
    )
    item, mask = resources.source.splits["train"][0], np.zeros((32, 32), np.bool_)
    mask[12:16, 12:16] = True
    parts = [resources.view.framed([item], [mask], smallest)[0] for smallest in (0.5, 1.0)]
    assert [len(part.image) for part in parts] == [16, 32]
    made = [candidate(p.image, source=item, image=p.image, mask=p.mask, frame=p.frame) for p in parts]
    small, large = filtered(resources, view="object", max_origin=1.0).judge(made)
    assert small.scores == pytest.approx(large.scores)
    assert 0 < small.scores["target"] < 1


def test_where_the_object_is_not_found_the_candidate_is_dropped(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = open_resources(
        tmp_path,
        models={"text_to_image": str(tiny_checkpoint), "segmenter": "cross-attention"},
        method={"type": "spurious_removal", "superclass": "shoe", "inversion": None},
    )
    panel = filtered(resources, view="object", max_origin=1.0)
    panel.judge([candidate(noise(0))])  # learns its judge
    monkeypatch.setattr(resources.view, "segment", lambda images, word: [None] * len(images))
    assert [v.reason for v in panel.judge([candidate(noise(0))])] == ["no shoe found"]


def test_each_object_is_looked_for_by_the_word_of_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training by the class of the image, in a candidate by the class that was painted."""
    source = {"type": "spurious", "classes": ["bag", "shirt"], "train": 40, "validation": 16, "test": 16}
    words = {"bag": "handbag", "shirt": "blouse"}
    resources = open_resources(
        tmp_path, source=source, method={"type": "spurious_removal", "superclass": words, "inversion": None}
    )
    calls: list[tuple[str, int]] = []

    def everything(images: list[Image], word: str) -> list[Mask | None]:
        calls.append((word, len(images)))
        return [np.ones(image.shape[:2], np.bool_) if word == "handbag" or len(calls) < 5 else None for image in images]

    monkeypatch.setattr(resources.view, "segment", everything)
    panel = filtered(resources, view="object", max_origin=1.0)
    panel.learn(("bag", "shirt"))
    assert sum(count for word, count in calls if word == "handbag") == 20
    assert sum(count for word, count in calls if word == "blouse") == 20
    calls += [("", 0)] * 5
    verdicts = panel.judge([candidate(noise(n), label=("shirt", "bag", "shirt")[n]) for n in range(3)])
    assert calls[-2:] == [("blouse", 2), ("handbag", 1)]
    assert [verdict.reason for verdict in verdicts] == ["no blouse found", None, "no blouse found"]


def test_a_balanced_judge_learns_by_the_weights_of_subpopulations(resources: Resources) -> None:
    """By others it would be another one, at another address."""
    balanced = filtered(resources, view="balanced", min_target=0.5)
    balanced.learn(["boot", "sneaker"])
    made = [candidate(noise(n), label="boot") for n in range(3)]
    shares = balanced.probabilities(made)
    assert [verdict.reason for verdict in balanced.judge(made)] == [
        None if share is not None and share[0] >= 0.5 else "does not look like a boot" for share in shares
    ]
    training, count = balanced.balanced_training, len(resources.source.splits["train"])
    assert training.weights is not None
    assert training.weights() == Subpopulations(resources).weights()
    other = replace(training, weights=lambda: [float(n % 5 + 1) for n in range(count)])
    judge = other.train({"balanced": None}, resources.artifacts, Silent())["balanced"]
    assert not np.allclose(probabilities(judge.scores([one.image for one in made])), np.array(shares))
    addresses = {one.prepare("balanced", None, resources.artifacts)[0].digest for one in (training, other)}
    assert len(addresses | {resources.judge_artifact("image").digest}) == 3
