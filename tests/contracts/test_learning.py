"""What is learned of every family of checkpoints, and image prompts: plain diffusers loads it, and draws the same with it.
Costs ten seconds."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoPipelineForInpainting
from safetensors.torch import load, save_file
from torch import Tensor

from pipelines.backbones.adapter_files import adapter_files
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.stable_diffusion_3 import StableDiffusion3
from pipelines.builtin.train.adapter import exported, install
from pipelines.learning.lora import LoraTraining
from pipelines.learning.textual_inversion import EMBEDS, TextualInversion
from pipelines.prompts import token_names, token_phrase
from pipelines.records import ImagePrompt
from pipelines.spec import Inversion, Lora
from pipelines.vision.segmentation import CrossAttention
from tests.builders import picture, square
from tests.checkpoints import vision_tower
from tests.contracts.families import near, of_tokens, of_unets, ours, pipeline, plain, text_to_image, theirs


@of_tokens
def test_a_token_is_learned_and_plain_diffusers_reads_it(backbone: Backbone, checkpoint: Path) -> None:
    spec = Inversion(vectors=2, steps=2, batch=2)
    training = TextualInversion(backbone, [picture(), picture(1)], [square()] * 2, "<boot>", "shoe", spec, seed=3)
    start = [vectors.detach().clone() for vectors in training.vectors]
    training.trainer.step()
    moved = [(now - was).abs().sum(dim=1) for now, was in zip(training.vectors, start, strict=True)]
    assert all((each > 0).all() for each in moved), "every vector of every text encoder is trained"
    files = load(training.files({}, [])[EMBEDS])
    backbone.set_token("<boot>", [vectors.detach() for vectors in training.vectors])
    prompt = f"a photo of a {token_phrase('<boot>', 2, 'shoe')}"
    opened = pipeline(AutoPipelineForInpainting, checkpoint)
    texts = ["a photo of a <boot> shoe"]
    if isinstance(backbone, StableDiffusion3):  # its pipelines load no tokens: transformers does. T5 reads the word alone.
        add_token(opened.text_encoder, opened.tokenizer, files["clip_l"])
        add_token(opened.text_encoder_2, opened.tokenizer_2, files["clip_g"])
        texts = [prompt, prompt, "a photo of a shoe"]
    elif len(files) == 1:
        opened.load_textual_inversion(files, token="<boot>")
    else:
        for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
            encoder, tokenizer = (getattr(opened, part + suffix) for part in ("text_encoder", "tokenizer"))
            opened.load_textual_inversion(files[name], token="<boot>", text_encoder=encoder, tokenizer=tokenizer)
    encoded = opened.encode_prompt(*texts, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    got = backbone.encode_prompts([prompt])
    assert torch.allclose(got.tokens, encoded[0], atol=1e-5)
    assert got.pooled is None or torch.allclose(got.pooled, encoded[2], atol=1e-5)


def add_token(encoder: Any, tokenizer: Any, vectors: Tensor) -> None:
    """Add the token <boot> to a text encoder by transformers alone."""
    tokenizer.add_tokens(token_names("<boot>", len(vectors)))
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    encoder.get_input_embeddings().weight.data[-len(vectors) :] = vectors


def trained(backbone: Backbone, spec: Lora) -> dict[str, torch.Tensor]:
    training = LoraTraining(backbone, [picture(), picture(1)], ["a photo of a shoe"] * 2, spec, seed=0)
    for _ in range(2):
        training.trainer.step()
    return training.weights()


def check_plain_diffusers_draws_the_same(
    backbone: Backbone, checkpoint: Path, weights: dict[str, torch.Tensor], folder: Path
) -> None:
    backbone.loras.add("lora", weights)
    opened, inputs = text_to_image(backbone, checkpoint)
    without = theirs(opened, plain(), **inputs)
    save_file(weights, folder / "pytorch_lora_weights.safetensors")
    opened.load_lora_weights(folder)
    expected = theirs(opened, plain(), **inputs)
    assert not np.array_equal(without, expected)
    assert near(ours(backbone, plain(lora="lora")), expected)
    assert near(ours(backbone, plain()), without)


def test_a_lora_is_learned_and_plain_diffusers_draws_the_same_with_it(
    backbone: Backbone, checkpoint: Path, tmp_path: Path
) -> None:
    weights = trained(backbone, Lora(steps=2, batch=2, rank=2, learning_rate=0.1))
    assert all(name.startswith(f"{backbone.component}.") for name in weights)
    check_plain_diffusers_draws_the_same(backbone, checkpoint, weights, tmp_path)


def test_one_is_learned_that_keeps_the_distances_of_the_original_model(backbone: Backbone) -> None:
    spec = Lora(steps=1, batch=3, rank=2, learning_rate=0.1, keep_diversity=100)
    training = LoraTraining(backbone, [picture(n) for n in range(3)], ["a photo of a shoe"] * 3, spec, seed=0)
    assert np.isfinite(training.trainer.step())
    last = [weight for name, weight in training.weights().items() if "lora_B" in name]
    assert all(weight.isfinite().all() for weight in last)
    assert sum(bool(weight.any()) for weight in last) > len(last) / 2


@of_tokens
def test_one_of_the_text_encoders_too(backbone: Backbone, checkpoint: Path, tmp_path: Path) -> None:
    weights = trained(backbone, Lora(steps=2, batch=2, rank=2, learning_rate=0.1, text_encoder=True))
    of_encoders = {name: weight for name, weight in weights.items() if name.startswith("text_encoder")}
    assert len({name.split(".")[0] for name in of_encoders}) == len(backbone.text_encoders)
    moved = [weight for name, weight in of_encoders.items() if "lora_B" in name]
    assert sum(bool(weight.abs().sum() > 0) for weight in moved) > len(moved) / 2
    check_plain_diffusers_draws_the_same(backbone, checkpoint, weights, tmp_path)


@of_unets
def test_an_image_prompt_by_an_adapter(backbone: Backbone, checkpoint: Path, tmp_path: Path) -> None:
    opened, inputs = text_to_image(backbone, checkpoint)
    torch.manual_seed(3)
    parts = install(opened.unet, 8)
    for weight in parts.parameters():
        weight.data = torch.randn_like(weight)
    save_file(exported(parts), tmp_path / "adapter.safetensors")
    vision_tower().save_pretrained(tmp_path / "image_encoder")
    embedding = np.random.default_rng(1).normal(size=8).astype(np.float32)
    opened, inputs = text_to_image(backbone, checkpoint)
    opened.load_ip_adapter(str(tmp_path), subfolder="", weight_name="adapter.safetensors", image_encoder_folder=None)
    image_embeds = torch.from_numpy(embedding)[None, None]
    expected = theirs(
        opened, plain(), ip_adapter_image_embeds=[torch.cat([torch.zeros_like(image_embeds), image_embeds])], **inputs
    )
    backbone.load_ip_adapter(adapter_files(str(tmp_path / "adapter.safetensors")))
    assert near(ours(backbone, plain(image_prompt=ImagePrompt(embedding))), expected)
    assert not near(ours(backbone, plain()), expected)


@of_unets
def test_its_own_cross_attention_gives_masks(backbone: Backbone) -> None:
    masks = CrossAttention(backbone).segment([picture(), picture(1)], "shoe")
    assert all(mask is None or mask.shape == (32, 32) for mask in masks)
    assert any(mask is not None for mask in masks)
