from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessorPil

from pipelines import spec
from pipelines.errors import ModelError
from pipelines.records import Image
from pipelines.tensors import images, tensor
from pipelines.vision.classifier import Classifier, probabilities, training_side


def pictures(count: int) -> list[Image]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


def test_every_image_is_scored_for_itself_whatever_the_batch() -> None:
    """Ranking by a batch's mean loss would give every image of a batch the same rank."""
    classifier, batch = Classifier(["a", "b"]), pictures(7)
    shares = probabilities(classifier.scores(batch))
    assert len(set(shares[:, 0].tolist())) == 7
    for row in range(7):
        assert np.allclose(shares[row], probabilities(classifier.scores(batch[row : row + 1]))[0], atol=1e-5)


def test_scoring_leaves_chance_out() -> None:
    classifier = Classifier(["a", "b"])
    classifier.train()
    assert torch.equal(classifier.scores(pictures(4)), classifier.scores(pictures(4)))


def test_probabilities_are_the_softmax() -> None:
    logits = torch.tensor([[1.0, 3.0], [40.0, 0.0]])
    assert np.allclose(probabilities(logits), F.softmax(logits, dim=1).numpy(), atol=1e-7)
    assert probabilities(logits)[1, 1] > 0


def test_a_checkpoint_is_fed_at_its_own_size_and_normalisation(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic"))
    net.eval().save_pretrained(tmp_path)
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[0.2] * 3, image_std=[0.3] * 3)
    processor.save_pretrained(tmp_path)
    classifier = Classifier(["a", "b"], str(tmp_path))
    with torch.no_grad():
        pixels = processor(pictures(2), return_tensors="pt").pixel_values
        assert torch.allclose(classifier.scores(pictures(2)), classifier.net.eval()(pixels).logits, atol=1e-5)
    assert classifier.scores(list(np.zeros((1, 64, 64, 3), np.uint8))).shape == (1, 2)


def test_training_images_are_as_large_as_the_classifier_sees_them_and_no_larger_than_generated_ones(tmp_path: Path) -> None:
    ViTImageProcessorPil(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
    ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(save({}))
    scratch, named, own = {}, {"resolution": 96}, {"checkpoint": str(tmp_path)}
    sides = [(scratch, 64, 64), (scratch, 512, 224), (named, 512, 96), (named, 64, 64), (own, 512, 48), (own, 32, 32)]
    for settings, resolution, side in sides:
        assert training_side(spec.Classifier(**settings), resolution) == side
    assert training_side(spec.Classifier(**own, **named), 512) == 96


def test_large_pictures_are_seen_as_small_ones() -> None:
    """A judge is trained on small images, and asked about candidates at the resolution."""
    torch.manual_seed(0)
    classifier = Classifier(["a", "b"]).eval()
    large = torch.rand(2, 3, 448, 448) * 2 - 1
    small = F.interpolate(large, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert torch.allclose(classifier(large), classifier(small), atol=1e-6)


def test_a_folder_that_is_no_classifier_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"classifier\.checkpoint"):
        Classifier(["a", "b"], str(tmp_path))


def test_pictures_survive_the_way_to_tensors_and_back() -> None:
    assert all(np.array_equal(a, b) for a, b in zip(images(tensor(pictures(3))), pictures(3), strict=True))
