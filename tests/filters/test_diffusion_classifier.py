"""The text-to-image model as a filter: real pictures pass under their own label and fail under another. On the bundled
model. Ten seconds."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import ModelError
from pipelines.filters.diffusion_classifier import DenoisingError
from pipelines.learning.resources import Resources
from pipelines.records import Candidate
from pipelines.spec import DiffusionClassifierFilter
from tests.builders import candidate, noise, open_resources
from tests.checkpoints import build_pixart

GARMENTS = ("trousers", "bag", "dress")
FEW = {"type": "few-shot", "classes": GARMENTS, "shots": 2, "validation": 12, "test": 12}
QUICK = DiffusionClassifierFilter(type="diffusion_classifier", samples=(6, 12))


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    return open_resources(tmp_path_factory.mktemp("store"), source=FEW, models={"resolution": 64})


def pictures(resources: Resources, wrong: bool = False) -> list[Candidate]:
    """Real test pictures, under their own label or the next one."""
    items = resources.source.splits["test"]
    labels = [GARMENTS[(GARMENTS.index(item.label) + wrong) % 3] for item in items]
    return [candidate(image, label=label) for image, label in zip(resources.view.images(items), labels, strict=True)]


def test_real_pictures_pass_as_what_they_are_and_fail_as_what_they_are_not(resources: Resources) -> None:
    panel = DenoisingError(resources, QUICK)
    panel.learn(GARMENTS)
    right, wrong = panel.judge(pictures(resources)), panel.judge(pictures(resources, wrong=True))
    assert np.mean([verdict.kept for verdict in right]) >= 0.75
    assert np.mean([verdict.kept for verdict in wrong]) <= 0.25
    assert all(verdict.kept == (verdict.scores["margin"] > 0) for verdict in (*right, *wrong))
    assert {v.reason for v in wrong if v.reason} <= {f"is not denoised best as a {label}" for label in GARMENTS}
    assert panel.judge([]) == []


def test_classes_go_by_their_names_and_learned_tokens(tmp_path: Path) -> None:
    inversion = {"vectors": 1, "images": 1, "steps": 1, "batch": 1, "masked": False}
    method = {"type": "text_to_image", "superclass": {"bag": "bag"}, "inversion": inversion, "names": {"dress": "gown"}}
    named = open_resources(tmp_path, source=FEW, models={"resolution": 64}, method=method)
    assert DenoisingError(named, QUICK).prompts == [
        "a photo of a trousers", "a photo of a <bag> bag", "a photo of a gown",
    ]  # fmt: skip


def test_a_checkpoint_that_is_run_whole_is_refused(tmp_path: Path) -> None:
    models = {"text_to_image": str(build_pixart(tmp_path / "pixart")), "resolution": 64}
    panel = DenoisingError(open_resources(tmp_path, source=FEW, models=models), QUICK)
    with pytest.raises(ModelError):
        panel.judge([candidate(noise(0, 64), label="bag")])
