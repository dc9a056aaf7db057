"""Words of the real images: chosen by CLIP, learned with, and drawn together. Four seconds."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.backbones.backbone import Backbone
from pipelines.builtin.sources import splits
from pipelines.builtin.world import COLOURS, SCENES, place
from pipelines.errors import SpecError
from pipelines.learning.image_words import WORDS, ImageWords
from pipelines.learning.joint_inversion import JointTraining
from pipelines.learning.loras import Loras
from pipelines.learning.resources import Resources
from pipelines.learning.textual_inversion import TextualInversion
from pipelines.methods import open_method
from pipelines.prompts import TEMPLATES, fill
from pipelines.spec import Inversion, JointInversion, Lora, parse
from pipelines.spec.helpers import clip_users, unused
from tests.builders import document, open_resources, picture
from tests.methods.test_methods import asked

SHORTCUT = {"type": "spurious", "train": 60, "validation": 16, "test": 16, "ratio": 0.9}
TWO = {
    "templates": ["a photo of a {colour} {} {scene}", "one {} {scene}, {colour}"],
    "words": {"colour": list(COLOURS), "scene": [place(scene) for scene in SCENES]},
}
TINY = {"images": 2, "steps": 2, "batch": 2, "vectors": 1, "masked": False}


def resources(folder: Path, **method: Any) -> Resources:
    method = {"type": "text_to_image", **TWO, "image_words": "by_clip", **method}
    return open_resources(folder, source=SHORTCUT, models={}, method=method, amount={"per_class": 60})


def test_clip_chooses_what_was_rendered_for_every_image_once(tmp_path: Path) -> None:
    """The renderer knows colour and scene of each; the bundled CLIP is told of boots as shoes."""
    one = resources(tmp_path)
    factors: dict[str, tuple[str, str]] = {}
    numbers: Counter[str] = Counter()
    for rendered in splits(one.spec.source)["train"]:  # type: ignore[arg-type]
        garment = rendered.garment
        factors[f"train/{garment}/{numbers[garment]:05d}.png"] = (rendered.colour, place(rendered.scene))
        numbers[garment] += 1
    chosen = ImageWords(one, {"boot": "shoe", "sneaker": "shoe"}).chosen
    assert chosen.keys() == factors.keys()
    right = [(words["colour"], words["scene"]) == factors[item] for item, words in chosen.items()]
    assert sum(right) >= 0.95 * len(right)
    (file,) = tmp_path.glob(f"concepts/image_words/*/{WORDS}")
    again = ImageWords(resources(tmp_path), {"boot": "shoe", "sneaker": "shoe"})
    again.choose = lambda artifact: pytest.fail("it is in the store")  # type: ignore[method-assign]
    assert again.chosen == chosen
    assert one.artifacts.used["words/images"].startswith(f"concepts/image_words/{file.parent.name}/")


def test_an_image_is_drawn_with_all_words_of_one_real_image_of_any_class(tmp_path: Path) -> None:
    """Nine in ten boots stand on grass; of those that are drawn, as many as of all real images together."""
    one = resources(tmp_path)
    requests, chosen = asked(one), open_method(one).concepts.tokens.image_words.chosen
    pairs = {(words["colour"], words["scene"]) for words in chosen.values()}
    expected = {
        label: {
            text
            for colour, scene in pairs
            for text in (f"a photo of a {colour} {label} {scene}", f"one {label} {scene}, {colour}")
        }
        for label in one.source.classes
    }
    assert all(request.prompt in expected[request.label] for request in requests)
    boots = [request.prompt for request in requests if request.label == "boot"]
    assert 0.3 < sum("on grass" in prompt for prompt in boots) / len(boots) < 0.7
    assert {prompt.split()[0] for prompt in boots} == {"a", "one"}
    alone = asked(one, attempt=1)
    assert [request.prompt for request in alone] != [request.prompt for request in requests]


def test_tokens_and_loras_are_learned_with_the_words_of_their_images(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Given by id: "on 7" is of the boot and of the sneaker of that number."""
    words = {f"train/{c}/{n:05d}.png": {"scene": f"on {n}", "colour": "red"} for c in ("boot", "sneaker") for n in range(30)}
    method = {"type": "text_to_image", **TWO, "image_words": words, "superclass": "shoe", "inversion": TINY}
    models = {"text_to_image": str(tiny_checkpoint)}
    tokens = open_method(open_resources(tmp_path, source=SHORTCUT, models=models, method=method)).concepts.tokens
    loras = Loras(tokens.resources, tokens, Lora())
    items = tokens.resources.source.of("boot")[:8]
    both = [(f"a photo of a red <boot> shoe on {n}", f"one <boot> shoe on {n}, red") for n in range(8)]
    captions = loras.captions(items)
    assert all(caption in pair for caption, pair in zip(captions, both, strict=True))
    assert len({caption.split()[0] for caption in captions}) == 2, "an image has one of the templates, not always the first"
    assert tokens.spec is not None
    chosen = [item for item, _ in tokens.training_images("boot", tokens.spec)]
    _, call = tokens.prepare("boot", tokens.spec)
    expected = [(f"a photo of a red {{}} on {int(n)}", f"one {{}} on {int(n)}, red") for n in (i.id[-9:-4] for i in chosen)]
    assert call.arguments()[0].templates == expected


@pytest.mark.parametrize("masked", [True, False])
def test_what_is_not_said_otherwise_is_trained_as_ever(tiny_model: Backbone, masked: bool) -> None:
    """The same templates of every image, in full, are those of none: to the bit."""
    masks = [np.eye(32, dtype=np.bool_)] * 2 if masked else None
    spec, images = Inversion(vectors=2, batch=3, masked=masked), [picture(), picture(1)]

    def losses(templates: Any) -> list[float]:
        one = TextualInversion(tiny_model, images, masks, "<boot>", "shoe", spec, 3, templates)
        return [one.trainer.step() for _ in range(3)]

    assert losses(None) == losses([TEMPLATES, TEMPLATES])
    assert losses(None) != losses([TEMPLATES, [f"{template} on snow" for template in TEMPLATES]])


def test_a_row_is_trained_with_the_prompt_of_its_own_image(tiny_model: Backbone) -> None:
    spec, prompts = Inversion(vectors=1, batch=8, masked=False), list[str]()
    one = TextualInversion(
        tiny_model, [picture(), picture(1)], None, "<boot>", "shoe", spec, 3, [["a {} on snow"], ["a {} at night"]]
    )
    encode = one.encode_prompts
    one.encode_prompts = lambda texts: prompts.extend(texts) or encode(texts)  # type: ignore[method-assign,func-returns-value]
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(2, (8,), generator=torch.Generator().manual_seed(5)).tolist()
    list(one.losses(generator, 1))
    assert prompts == [("a <boot> shoe on snow", "a <boot> shoe at night")[row] for row in rows]


def test_so_are_tokens_that_are_learned_together(tiny_model: Backbone) -> None:
    spec = JointInversion(vectors=1, batch=6, initializer="shoe")
    own, prompts = [["a {} on snow"], ["a {} at night"]], list[str]()
    one = JointTraining(tiny_model, [picture(), picture(1)], [1, 1, 1], ["<a>", "<b>"], {"<b>": "shoe"}, spec, 3, own)
    encode = one.encode_prompts
    one.encode_prompts = lambda texts: prompts.extend(texts) or encode(texts)  # type: ignore[method-assign,func-returns-value]
    list(one.losses(torch.Generator().manual_seed(5), 1))
    assert prompts == [fill("a {} at night", "<b>")] * 6


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"image_words": "by_clip"}, "image_words: no template has a place for them"),
        ({"image_words": "by_clip", "templates": ["a {} {scene}"]}, "so words.scene must list"),
        ({"image_words": {"a.png": {}}, "templates": ["a {} {scene}"]}, "'a.png' has no word for it; add one"),
        ({"image_words": "by_clib", **TWO}, "by_clip"),
    ],
)
def test_a_name_without_a_word_is_refused(method: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(document(method={"type": "text_to_image", **method}))


def test_an_image_without_words_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    one = resources(tmp_path, image_words={"train/boot/00000.png": {"scene": "on snow", "colour": "red"}})
    with pytest.raises(SpecError, match=r"59 of 60 training images have none, 'train/boot/00001.png' first"):
        open_method(one).learn()
    assert unused(one.spec) == [
        "method.words: they are not used: method.image_words has those of every image; leave them out."
    ]
    assert clip_users(resources(tmp_path).spec) == ["method.image_words"]
