"""Augmentation-conditioning: ten ways to turn real images into image prompts, of the k shots alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.engine.engine import Engine
from pipelines.learning.resources import Resources
from pipelines.methods import open_method
from pipelines.methods.augmented_conditioning import AugmentedConditioningMethod, dropout, mixed_embeddings, mixed_pixels
from pipelines.methods.image_guidance import clip_scale, nearest_classes
from pipelines.records import Item, Request
from tests.builders import flat, noise, open_resources
from tests.methods.test_methods import asked, slots

SHOTS = {"type": "few-shot", "shots": 4, "validation": 12, "test": 12}
MIXES = ("none", "cutmix", "mixup", "embed_cutmix", "embed_mixup")


def seeing(tmp_path: Path, checkpoint: Path, **changes: Any) -> Resources:
    method = {"type": "augmented_conditioning", "steps": 3, "dropout": 0, **changes}
    models = {"text_to_image": str(checkpoint)}
    return open_resources(tmp_path, source=SHOTS, models=models, method=method, amount={"per_class": 8})


def embeddings(requests: list[Request]) -> np.ndarray:  # type: ignore[type-arg]
    return np.stack([request.image_prompt.embedding for request in requests if request.image_prompt is not None])


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_each_of_the_ten_modes_draws_images_of_two_real_ones_of_the_class(
    tmp_path: Path, tiny_unclip_checkpoint: Path, mix: str, dropout: float
) -> None:
    resources = seeing(tmp_path, tiny_unclip_checkpoint, mix=mix, dropout=dropout)
    requests = asked(resources)
    used: Counter[str] = Counter()
    for request in requests:
        assert request.source is not None
        assert request.image_prompt is not None
        assert request.source.label == request.label
        assert (request.image, request.mask, request.strength) == (None, None, 1.0)
        used[request.source.id] += 1
        partner = request.image_prompt.partner
        assert (partner is None) == (mix == "none")
        if partner is not None:
            assert partner.label == request.label
            assert partner != request.source
    assert set(used.values()) == {2}, "each real image is the first as often"
    zeros = (embeddings(requests) == 0).mean()
    assert zeros == 0 if dropout == 0 else 0.2 < zeros < 0.6
    again = asked(seeing(tmp_path / "again", tiny_unclip_checkpoint, mix=mix, dropout=dropout))
    assert np.array_equal(embeddings(requests), embeddings(again)), "nothing but the seed decides"
    assert len(list(Engine(resources.models.backbone).run(requests))) == len(requests)


@pytest.mark.parametrize("mix", MIXES[1:])
def test_every_mix_changes_what_is_shown(tmp_path: Path, tiny_unclip_checkpoint: Path, mix: str) -> None:
    """The published code cut along the wrong axis: embedding CutMix showed the first image alone."""
    plain = embeddings(asked(seeing(tmp_path / "plain", tiny_unclip_checkpoint, mix="none")))
    mixed = embeddings(asked(seeing(tmp_path / "mixed", tiny_unclip_checkpoint, mix=mix)))
    assert (np.abs(plain - mixed).max(axis=1) > 1e-3).mean() > 0.8


def test_embedding_cutmix_is_the_second_up_to_the_cut_and_the_first_after_it() -> None:
    first, second = np.arange(10, dtype=np.float32), -np.arange(10, dtype=np.float32) - 1
    found = mixed_embeddings(first, second, "embed_cutmix", 0.7)
    assert np.array_equal(found, np.concatenate([second[:3], first[3:]]))


def test_embedding_mixup_is_the_weighted_mean() -> None:
    first, second = noise(1)[0, :, 0].astype(np.float32), noise(2)[0, :, 0].astype(np.float32)
    assert np.allclose(mixed_embeddings(first, second, "embed_mixup", 0.25), 0.25 * first + 0.75 * second)


def test_dropout_sets_numbers_to_zero_and_leaves_the_others_as_they_are() -> None:
    embedding = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    found = dropout(embedding, 0.4, np.random.default_rng(1))
    zero = found == 0
    assert 0.37 < zero.mean() < 0.43
    assert np.array_equal(found[~zero], embedding[~zero])


def test_pixel_cutmix_shows_both_images_and_mixup_a_blend() -> None:
    black, white = flat(0), flat(255)
    cuts = [mixed_pixels(black, white, "cutmix", 1.0, seed) for seed in range(8)]
    assert all(set(np.unique(cut)) <= {0, 255} for cut in cuts)
    assert len({float(cut.mean()) for cut in cuts}) > 4, "as much as the seed says"
    blends = [mixed_pixels(black, white, "mixup", 1.0, seed) for seed in range(8)]
    assert all(blend.std() == 0 for blend in blends)
    assert len({int(blend[0, 0, 0]) for blend in blends}) > 4


def test_a_small_alpha_mixes_little() -> None:
    def share(alpha: float) -> float:
        made = [mixed_pixels(flat(0), flat(255), "mixup", alpha, seed) for seed in range(20)]
        return float(np.mean([min(m.mean(), 255 - m.mean()) for m in made]))

    assert share(0.05) < 0.5 * share(5.0)


@pytest.mark.parametrize("mix", ["embed_mixup", "cutmix"])
def test_k_shots_never_read_image_k_plus_one(tmp_path: Path, tiny_unclip_checkpoint: Path, mix: str) -> None:
    """The published generator conditioned on the whole training set, whatever k was said to be."""
    resources = seeing(tmp_path, tiny_unclip_checkpoint, mix=mix, shots=2)
    read: set[str] = set()
    inner = resources.source.read

    def watched(item: Item) -> Any:
        read.add(item.id)
        return inner(item)

    object.__setattr__(resources.source, "read", watched)
    for attempt in range(3):
        asked(resources, attempt)
    assert read == {item.id for label in resources.source.classes for item in resources.source.of(label)[:2]}


def test_a_single_shot_is_mixed_with_itself(tmp_path: Path, tiny_unclip_checkpoint: Path) -> None:
    requests = asked(seeing(tmp_path, tiny_unclip_checkpoint, shots=1))
    assert all(request.image_prompt and request.image_prompt.partner == request.source for request in requests)


def test_a_request_does_not_depend_on_its_neighbours(tmp_path: Path, tiny_unclip_checkpoint: Path) -> None:
    resources = seeing(tmp_path, tiny_unclip_checkpoint, mix="mixup", dropout=0.4)
    method, every = open_method(resources), slots(resources)
    method.learn()
    together = embeddings(method.requests(every, 1))
    for row in (0, 5, 17):
        assert np.allclose(embeddings(method.requests([every[row]], 1))[0], together[row], atol=1e-6)


def test_the_settings_of_the_spec_reach_the_engine(tmp_path: Path, tiny_unclip_checkpoint: Path) -> None:
    (request, *_) = asked(seeing(tmp_path, tiny_unclip_checkpoint, scale=0.5, noise_level=30, guidance=4, steps=6))
    assert request.image_prompt is not None
    assert (request.image_prompt.scale, request.image_prompt.noise_level, request.guidance, request.steps) == (0.5, 30, 4, 6)


def test_the_scale_by_clip_is_high_for_what_clip_does_not_recognise_and_low_for_what_it_does() -> None:
    def drawn(probability: float, shots: int) -> np.ndarray:  # type: ignore[type-arg]
        return np.array([clip_scale(probability, shots, np.random.default_rng(seed)) for seed in range(300)])

    assert drawn(0.1, 1).min() >= 0.7
    assert abs(drawn(0.1, 1).mean() - 0.86) < 0.01, "clipped at 0.9"
    assert abs(drawn(0.9, 1).mean() - 0.14) < 0.01
    assert drawn(0.9, 16).max() <= 0.8
    assert drawn(0.9, 16).std() > drawn(0.9, 1).std()
    assert drawn(0.9, 1000).max() <= 0.8


def test_images_are_conditioned_by_what_clip_knows_of_them(tmp_path: Path, tiny_unclip_checkpoint: Path) -> None:
    resources = seeing(tmp_path, tiny_unclip_checkpoint, scale="by_clip", names={"boot": "boot"})
    scales = [request.image_prompt.scale for request in asked(resources) if request.image_prompt is not None]
    assert len(set(scales)) > 4
    again = asked(seeing(tmp_path / "again", tiny_unclip_checkpoint, scale="by_clip", names={"boot": "boot"}))
    assert scales == [request.image_prompt.scale for request in again if request.image_prompt is not None]


def test_guidance_leads_away_from_the_nearest_other_class() -> None:
    axes = np.eye(3, dtype=np.float32)
    near, far, other = axes[0] + 0.2 * axes[1], axes[2], axes[0]
    nearest = nearest_classes({"a": [near, near], "b": [far], "c": [other]})
    assert np.array_equal(nearest["a"], other)
    assert np.array_equal(nearest["c"], near)


def test_negative_image_prompts_are_of_another_class(tmp_path: Path, tiny_unclip_checkpoint: Path) -> None:
    resources = seeing(tmp_path, tiny_unclip_checkpoint, negative="nearest_class", mix="none")
    requests = asked(resources)
    negatives: dict[str, set[bytes]] = {}
    for request in requests:
        assert request.image_prompt is not None
        assert request.image_prompt.negative is not None
        negatives.setdefault(request.label, set()).add(request.image_prompt.negative.tobytes())
    assert all(len(own) == 1 for own in negatives.values())
    assert len(list(Engine(resources.models.backbone).run(requests[:4]))) == 4


def test_the_defaults_are_the_papers(tmp_path: Path) -> None:
    spec = open_resources(tmp_path, method={"type": "augmented_conditioning"}).spec.method
    assert isinstance(
        open_method(open_resources(tmp_path, method={"type": "augmented_conditioning"})), AugmentedConditioningMethod
    )
    found = spec.model_dump()
    assert (found["alpha"], found["dropout"], found["noise_level"], found["guidance"], found["steps"]) == (1, 0.4, 0, 10, 30)
