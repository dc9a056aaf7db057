"""Embeddings of an image classifier are its features, whatever the images' shapes; of CLIP, those of the filters."""

from pathlib import Path

import numpy as np
import pytest
from transformers import ResNetForImageClassification, ViTImageProcessorPil

from pipelines.builtin.checkpoints import resolve
from pipelines.errors import ModelError
from pipelines.inspection.embedder import open_embedder
from pipelines.source.frames import centre, cut
from pipelines.vision.classifier import SMALL, Classifier
from pipelines.vision.clip import Clip
from tests.builders import picture


def test_a_classifier_gives_the_input_of_its_last_layer(tmp_path: Path) -> None:
    ResNetForImageClassification(SMALL).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
    images = [picture(0, 64), picture(1, 96)[:, :50]]
    features = Classifier(("", "other"), str(tmp_path)).features([cut(i, centre(*i.shape[:2]), 48) for i in images])
    expected = features.flatten(1).numpy()
    embeddings = open_embedder(str(tmp_path), "cpu")(images)
    assert np.allclose(embeddings, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert embeddings.shape[0] == 2


def test_the_bundled_clip_gives_its_own() -> None:
    images = [picture(0, 64), picture(1, 80)]
    expected = Clip(resolve("builtin", "clip"), "cpu").embed_images(images).numpy()
    assert (open_embedder("builtin", "cpu")(images) == expected).all()


def test_what_is_no_checkpoint_is_named_by_the_option(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^--features: there is no folder"):
        open_embedder(str(tmp_path / "none"))
