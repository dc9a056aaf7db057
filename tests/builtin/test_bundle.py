"""The bundled checkpoints load in plain diffusers and transformers, and do what they are for."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionPipeline
from transformers import AutoProcessor, CLIPModel

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.builtin.checkpoints import ADAPTER, WEIGHTS, resolve
from pipelines.builtin.oracle import Oracle
from pipelines.builtin.train.language import corpus, phrase
from pipelines.builtin.train.publish import LIMIT, PARTS
from pipelines.builtin.world import GARMENTS, SPOKEN
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError
from pipelines.records import ImagePrompt, Item, Mask, Request
from pipelines.source.open import open_source
from pipelines.source.source import Source
from pipelines.spec import LongTailSource, SpuriousSource
from pipelines.spec import Models as ModelsSpec
from pipelines.tensors import tensor
from pipelines.vision.models import Models
from pipelines.vision.segmentation import ClipSeg, CrossAttention, Segmenter
from tests.builders import CPU


@pytest.fixture(scope="module")
def model() -> Backbone:
    return open_backbone(resolve("builtin", "model"), CPU)


@pytest.fixture(scope="module")
def source() -> Source:
    return open_source(SpuriousSource(type="spurious", train=40, validation=8, test=80))


def test_the_bundle_is_whole_and_small() -> None:
    assert {path.name for path in WEIGHTS.iterdir()} == set(PARTS)
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < LIMIT


@pytest.mark.parametrize("kind", [StableDiffusionPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline])
def test_plain_diffusers_loads_it(kind: type[StableDiffusionPipeline]) -> None:
    pipeline = kind.from_pretrained(resolve("builtin", "model"), safety_checker=None)
    assert pipeline.unet.config.sample_size * pipeline.vae_scale_factor == 64


def test_plain_diffusers_loads_the_inpainting_twin() -> None:
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(resolve("builtin-inpainting", "model"), safety_checker=None)
    assert pipeline.unet.config.in_channels == 9


def test_no_model_has_read_the_fine_names_of_the_shoes(model: Backbone) -> None:
    assert all(len(model.text_encoders[0].tokenizer.tokenize(word)) > 1 for word in ("sandal", "sneaker", "boot"))
    assert not any(word in text for word in ("sandal", "sneaker", "boot") for text in corpus())
    assert {SPOKEN[name] for name in GARMENTS} == {
        "t-shirt",
        "trousers",
        "pullover",
        "dress",
        "coat",
        "shirt",
        "bag",
        "shoe",
    }


@pytest.mark.parametrize("text", ["", "A boot's Überbild 猫", "🙂 <tag> 123", "a" * 500])
def test_any_text_tokenizes(model: Backbone, text: str) -> None:
    assert model.text_encoders[0].tokenize([text]).shape == (1, 32)
    assert (
        model.text_encoders[0].tokenizer.unk_token_id
        not in model.text_encoders[0].tokenizer(text[:20], add_special_tokens=False).input_ids
    )


def test_it_draws_what_it_is_asked_for(model: Backbone) -> None:
    """Trousers are told from bags in what it draws, by a classifier that shares no weights with it."""
    words = ["trousers", "bag"] * 8
    requests = [Request(i, 0, i, w, "", f"a photo of a red {w} on sand", guidance=4, steps=15) for i, w in enumerate(words)]
    made = {c.request.index: c.image for c in Engine(model).run(requests)}
    seen = Oracle().garments([made[i] for i in range(16)], ["trousers", "bag"])
    assert np.mean([a == b for a, b in zip(seen, words, strict=True)]) >= 0.8


def test_it_draws_the_shapes_that_it_is_asked_for(model: Backbone) -> None:
    """Nearly all shoes that are very slender, or very tall, among the pictures it learned from are sandals, or boots."""
    shoes = {"very slender": "sandal", "very tall": "boot"}
    colours, places = ("red", "blue", "white", "green"), ("on grass", "on brick", "at night", "on snow")
    drawn = [(shape, colour, place) for shape in shoes for colour, place in product(colours, places)][::2]
    prompts = [f"a photo of a {colour} {shape} shoe {place}" for shape, colour, place in drawn]
    requests = [Request(i, 0, i, "shoe", "", prompt, guidance=4, steps=10) for i, prompt in enumerate(prompts)]
    made = {c.request.index: c.image for c in Engine(model).run(requests)}
    seen = Oracle().garments([made[i] for i in range(len(drawn))], ["sandal", "sneaker", "boot"])
    assert np.mean([a == shoes[shape] for a, (shape, _, _) in zip(seen, drawn, strict=True)]) >= 0.8


def test_the_oracle_knows_the_shoes_apart(source: Source) -> None:
    items = source.splits["test"]
    seen = Oracle().garments([source.read(item) for item in items], source.classes)
    assert np.mean([a == item.label for a, item in zip(seen, items, strict=True)]) >= 0.9


def mean_iou(segmenter: Segmenter, source: Source, items: list[Item]) -> float:
    assert source.truth is not None
    found = segmenter.segment([source.read(item) for item in items], "shoe")
    none = np.zeros((64, 64), dtype=np.bool_)

    def iou(true: Mask, mask: Mask | None) -> float:
        mask = none if mask is None else mask
        return float((true & mask).sum() / (true | mask).sum())

    return float(np.mean([iou(source.truth(i), m) for i, m in zip(items, found, strict=True)]))


def test_segment_the_shoe_finds_the_shoe(source: Source) -> None:
    assert mean_iou(ClipSeg(resolve("builtin", "segmenter"), "cpu"), source, source.splits["test"]) >= 0.7


def test_the_models_own_attention_finds_it_too(model: Backbone, source: Source) -> None:
    attention, nothing = CrossAttention(model), mean_iou(Everything(), source, source.splits["test"])
    assert mean_iou(attention, source, source.splits["test"]) > 1.3 * nothing


class Everything:
    """The segmenter to beat: all of the picture."""

    revision = ""

    def segment(self, images: list[np.ndarray], word: str) -> list[Mask | None]:  # type: ignore[type-arg,override]
        return [np.ones(image.shape[:2], dtype=np.bool_) for image in images]


def test_what_is_not_there_is_not_found(source: Source) -> None:
    found = ClipSeg(resolve("builtin", "segmenter"), "cpu").segment(
        [source.read(item) for item in source.splits["test"]], "trousers"
    )
    assert np.mean([mask is None for mask in found]) >= 0.8


def test_clip_matches_pictures_with_captions(source: Source) -> None:
    path = resolve("builtin", "clip")
    clip, processor = CLIPModel.from_pretrained(path, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(path)
    items = source.splits["test"]
    texts = [f"a photo of a {phrase('shoe', None, scene)}" for scene in ("grass", "brick")]
    ids = processor.tokenizer(texts, padding="max_length", return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = clip(input_ids=ids, pixel_values=tensor([source.read(item) for item in items])).logits_per_image
    seen = [("grass", "brick")[int(row)] for row in logits.argmax(dim=1)]
    assert np.mean([a == item.group for a, item in zip(seen, items, strict=True)]) >= 0.9


def test_plain_diffusers_loads_the_adapter() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(resolve("builtin", "model"), safety_checker=None)
    pipeline.load_ip_adapter(resolve("builtin", "adapter"), subfolder="", weight_name=ADAPTER, image_encoder_folder=None)
    assert pipeline.unet.config.encoder_hid_dim_type == "ip_image_proj"


def test_what_is_shown_a_picture_is_drawn_like_it() -> None:
    """Without a word: trousers on snow, shown as trousers on snow, are told from a bag on grass by colour and kind."""
    models = Models(ModelsSpec())
    source = open_source(LongTailSource(type="long-tail", head=2, imbalance=1, classes=("trousers", "bag")))
    items = source.of("trousers", "test")[:12] + source.of("bag", "test")[:12]
    pictures = [source.read(item) for item in items]
    embeddings = models.image_conditioning.encoder.embed(pictures).numpy()
    asked = [
        Request(n, 0, n, i.label, "", "", guidance=2, steps=15, image_prompt=ImagePrompt(row))
        for n, (i, row) in enumerate(zip(items, embeddings, strict=True))
    ]
    made = {c.request.index: c.image for c in Engine(models.backbone).run(asked)}
    drawn = [made[n] for n in range(len(items))]
    seen = Oracle().garments(drawn, ["trousers", "bag"])
    assert np.mean([a == i.label for a, i in zip(seen, items, strict=True)]) >= 0.7
    means = [np.array([image.mean(axis=(0, 1)) for image in images]) for images in (pictures, drawn)]
    apart = np.abs(means[0][:, None] - means[1][None]).sum(axis=2)
    own, others = np.diag(apart).mean(), apart[~np.eye(len(items), dtype=bool)].mean()
    assert own < 0.6 * others, "colours are those of the picture that was shown"


def test_a_missing_part_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("pipelines.builtin.checkpoints.WEIGHTS", tmp_path)
    with pytest.raises(ModelError, match="bundled oracle is missing"):
        resolve("builtin", "oracle")
