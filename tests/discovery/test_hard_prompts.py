"""Hard prompts: words for images that no list has, against the renderer's truth. Three seconds."""

import json

import numpy as np
import pytest
import torch

from pipelines.builtin import wardrobe
from pipelines.builtin.checkpoints import resolve
from pipelines.builtin.render import render
from pipelines.builtin.world import draw
from pipelines.discovery.hard_prompts import Vocabulary, area, embedding, separating
from pipelines.discovery.page import render as page
from pipelines.discovery.suspects import Discovery, HardPrompt, Suspect, row
from pipelines.records import Image
from pipelines.vision.clip import Clip

STEPS = 20


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(resolve("builtin", "clip"), "cpu")


def images(garment: str, scene: str, first: int, count: int = 24) -> list[Image]:
    random, garments = np.random.default_rng(first), wardrobe.for_sources().items[garment]
    return [render(draw(random, garment, n, scene=scene), garments[n]).image for n in range(first, first + count)]


def test_what_comes_with_each_class_is_among_the_words_and_tells_held_out_images(clip: Clip) -> None:
    train = {"boot": images("boot", "grass", 0), "sneaker": images("sneaker", "brick", 0)}
    held_out = {"boot": images("boot", "grass", 50), "sneaker": images("sneaker", "brick", 50)}
    prompts = separating(clip, train, held_out, STEPS)
    assert "grass" in prompts["boot"].text.split()
    assert "brick" in prompts["sneaker"].text.split()
    assert all(prompt.area > 0.95 and len(prompt.text.split()) == 8 for prompt in prompts.values())
    assert separating(clip, train, held_out, STEPS) == prompts
    assert separating(clip, train, held_out, STEPS, named=("boot",)).keys() == {"sneaker"}


def test_what_does_not_tell_held_out_images_is_not_said(clip: Clip) -> None:
    """Two sets of the same kind; and two kinds in training that are alike in what is held out."""
    alike = {"one": images("boot", "grass", 0), "two": images("boot", "grass", 30)}
    held_out = {"one": images("boot", "grass", 60), "two": images("boot", "grass", 90)}
    assert separating(clip, alike, held_out, STEPS) == {}
    assert separating(clip, {**alike, "two": images("boot", "brick", 30)}, held_out, STEPS) == {}


def test_a_prompt_of_the_words_themselves_has_the_embedding_that_clip_gives_their_text(clip: Clip) -> None:
    vocabulary = Vocabulary(clip)
    rows = torch.tensor([vocabulary.words.index(f"{word}</w>") for word in ("red", "shoe", "grass")])
    soft = vocabulary.table[rows].clone().requires_grad_()
    ours = embedding(clip, vocabulary, rows, soft)
    inputs = clip.processor(text=["red shoe grass"], return_tensors="pt")
    theirs = torch.nn.functional.normalize(clip.model.get_text_features(**inputs).pooler_output[0], dim=0)
    assert torch.allclose(ours, theirs, atol=1e-5)
    (gradient,) = torch.autograd.grad(ours.sum(), soft)
    assert (gradient.abs().sum(dim=1) > 0).all()
    assert vocabulary.nearest(soft.detach() * 3).tolist() == rows.tolist()


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert area(np.float32([3, 2]), np.float32([1, 2])) == (1 + 1 + 1 + 0.5) / 4


def test_it_is_in_the_document_and_on_the_page() -> None:
    prompt = {"boot": HardPrompt("grass <b>", 0.97)}
    one = Suspect("background", "Background", True, 0.9, 0.2, 9.0, 0.8, 9.0, prompts=prompt)
    assert json.loads(json.dumps(row(one)))["prompts"] == {"boot": {"text": "grass <b>", "area": 0.97}}
    html = page(Discovery("shoes", {"boot": 9}, 0.9, (one,), {}), {"background": []})
    assert "<q>grass &lt;b&gt;</q>" in html
    assert "0.97" in html
