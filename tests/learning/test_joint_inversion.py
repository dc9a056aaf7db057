"""Several tokens learned together: which are trained, how training resumes, and that each is a file. Five seconds."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from pipelines.backbones.backbone import Backbone
from pipelines.learning.joint_inversion import JointTraining
from pipelines.learning.textual_inversion import decode_token, encode_token
from pipelines.records import Image
from pipelines.spec import JointInversion

SPEC = JointInversion(vectors=2, steps=6, batch=4, initializer="shoe", learning_rate=0.02)
TOKENS = {"<boot>": "shoe", "<boot/0>": "shoe", "<boot/1>": "shoe"}
PHRASES = ["<boot> <boot>_1 boot <boot/0> <boot/0>_1", "<boot> <boot>_1 boot <boot/1> <boot/1>_1"]


def pictures() -> list[Image]:
    """One red, one blue."""
    return [np.full((32, 32, 3), colour, np.uint8) for colour in ((200, 20, 20), (20, 20, 200))]


def training(model: Backbone, rows: list[int]) -> JointTraining:
    return JointTraining(model, pictures(), rows, PHRASES, TOKENS, SPEC, seed=3)


def test_those_tokens_are_trained_that_stand_in_the_phrases_of_what_is_drawn(tiny_model: Backbone) -> None:
    one = training(tiny_model, [0, 0])
    before = {name: p.clone() for name, p in tiny_model.text_encoders[0].model.named_parameters()}
    one.trainer.step()
    gradients = {
        token: float(vectors[0].grad.abs().sum()) for token, vectors in one.vectors.items() if vectors[0].grad is not None
    }
    assert gradients["<boot>"] > 0
    assert gradients["<boot/0>"] > 0
    assert gradients["<boot/1>"] == 0
    assert all(torch.equal(p, before[name]) for name, p in tiny_model.text_encoders[0].model.named_parameters())


def test_an_image_is_drawn_as_often_as_it_is_among_the_rows(tiny_model: Backbone) -> None:
    one = training(tiny_model, [1, 1, 0])
    assert torch.equal(one.latents[0], one.latents[1])
    assert not torch.equal(one.latents[0], one.latents[2])


def test_learning_lowers_the_loss(tiny_model: Backbone) -> None:
    """Of the same random numbers, before and after."""

    def mean_loss(one: JointTraining) -> float:
        with torch.no_grad():
            batches = [one.losses(torch.Generator().manual_seed(seed), 1) for seed in range(20)]
            return float(np.mean([loss.item() for batch in batches for loss in batch]))

    one = training(tiny_model, [0, 1])
    before = mean_loss(one)
    for _ in range(60):
        one.trainer.step()
    assert mean_loss(one) < before


def test_stopped_and_resumed_ends_the_same(tiny_model: Backbone) -> None:
    whole, first, second = (training(tiny_model, [0, 1]) for _ in range(3))
    for _ in range(4):
        whole.trainer.step()
    for _ in range(2):
        first.trainer.step()
    second.trainer.restore(first.trainer.state())
    for _ in range(2):
        second.trainer.step()
    for token, vectors in whole.vectors.items():
        assert torch.equal(vectors[0], second.vectors[token][0])


def test_plain_diffusers_loads_each_token(tiny_model: Backbone, tiny_checkpoint: Path, tmp_path: Path) -> None:
    one = training(tiny_model, [0, 1])
    one.trainer.step()
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    for token, vectors in one.vectors.items():
        file = tmp_path / "learned_embeds.safetensors"
        file.write_bytes(encode_token(token, vectors))
        pipeline.load_textual_inversion(file, token=token)
        tiny_model.set_token(token, decode_token(token, file.read_bytes()))
    theirs, _ = pipeline.encode_prompt("a photo of a <boot> boot <boot/0>", "cpu", 1, do_classifier_free_guidance=False)
    ours = tiny_model.encode_prompts([f"a photo of a {PHRASES[0]}"])
    assert torch.allclose(ours.tokens, theirs, atol=1e-6)


def test_tokens_of_whole_images_are_not_masked() -> None:
    with pytest.raises(ValueError, match="masked: true would leave out"):
        JointInversion(masked=True)
