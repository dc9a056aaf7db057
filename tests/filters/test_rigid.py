"""RIGID: how far a little noise moves CLIP's embedding. On the bundled CLIP. Four seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipelines.filters.rigid import Rigid, noised
from pipelines.learning.resources import Resources
from pipelines.records import Candidate
from pipelines.spec import RigidFilter
from tests.builders import candidate, flat, open_resources, picture


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"), models={"resolution": 64})


def rigid(resources: Resources, **settings: float) -> Rigid:
    return Rigid(resources, RigidFilter(type="rigid", **settings))


def pictures(resources: Resources) -> list[Candidate]:
    images = resources.view.images(resources.source.splits["test"][:8])
    return [candidate(image, seed=number) for number, image in enumerate(images)]


def test_the_score_is_the_cosine_of_the_embeddings_with_noise_and_without(resources: Resources) -> None:
    """Oracle: CLIPModel itself, on pictures of its own size."""
    clip, made = resources.models.clip, pictures(resources)
    assert clip.side == 64
    noisy = [noised(one.image, 0.1, one.request.seed) for one in made]
    rows = []
    for images in ([one.image for one in made], noisy):
        inputs = clip.processor(images=images, return_tensors="pt")
        with torch.inference_mode():
            rows.append(clip.model.get_image_features(**inputs).pooler_output)
    expected = F.cosine_similarity(*rows)
    scores = [verdict.scores["similarity"] for verdict in rigid(resources, noise=0.1).judge(made)]
    assert scores == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_noise_is_as_large_as_the_spec_says_and_its_seed_is_the_image_s() -> None:
    grey = flat(128, 64)
    spread = (noised(grey, 0.05, 1).astype(float) - 128).std() / 255
    assert spread == pytest.approx(0.05, rel=0.05)
    assert np.array_equal(noised(grey, 0.05, 1), noised(grey, 0.05, 1))
    assert not np.array_equal(noised(grey, 0.05, 1), noised(grey, 0.05, 2))


def test_more_noise_moves_it_further_and_no_score_depends_on_other_images(resources: Resources) -> None:
    made = pictures(resources)
    means = [np.mean(rigid(resources, noise=noise).similarities(made)) for noise in (1e-6, 0.05, 0.3)]
    assert means[0] == pytest.approx(1, abs=1e-4)
    assert means[0] > means[1] > means[2]
    filter_ = rigid(resources)
    assert filter_.similarities(made[3:4]) == pytest.approx(filter_.similarities(made)[3:4], abs=1e-5)
    assert filter_.judge([]) == []


def test_it_is_a_score_alone_until_a_threshold_is_given_or_calibrated(resources: Resources, tmp_path: Path) -> None:
    made = [*pictures(resources), candidate(picture(3, 64))]
    scores = rigid(resources).similarities(made)
    assert all(verdict.kept for verdict in rigid(resources).judge(made))
    line = float(np.median(scores))
    assert [verdict.kept for verdict in rigid(resources, min_similarity=line).judge(made)] == [s >= line for s in scores]
    calibrated = rigid(resources, calibrate=0.9)
    calibrated.learn(("boot", "sneaker"))
    images = resources.view.validation.images
    kept = [verdict.kept for verdict in calibrated.judge([candidate(image, seed=0) for image in images])]
    assert 0.9 <= np.mean(kept) < 1
    reasons = {verdict.reason for verdict in rigid(resources, min_similarity=1.0).judge(made)}
    assert reasons == {"noise changes it more than real images"}
