"""Textual inversion: what it trains, what it leaves alone, how it resumes, and that plain diffusers reads the result."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save

from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.errors import ModelError, SpecError
from pipelines.learning.textual_inversion import CURVE, EMBEDS, TextualInversion, load_token
from pipelines.progress import Stage
from pipelines.prompts import TEMPLATES, token_names, token_phrase
from pipelines.records import Image, Mask
from pipelines.spec import Inversion
from pipelines.store.artifacts import CHECKPOINT, Artifact, Artifacts
from pipelines.store.object_store import Store
from tests.builders import CPU

SPEC = Inversion(vectors=3, steps=6, batch=4, checkpoint_every=2)


def pictures() -> list[Image]:
    """Red discs' worth of red: a square of it on a grey ground."""
    image = np.full((32, 32, 3), 120, np.uint8)
    image[8:24, 8:24] = (220, 20, 20)
    return [image, np.roll(image, 4, axis=1)]


def masks() -> list[Mask]:
    return [(image[..., 0] == 220) for image in pictures()]


def inverter(model: Backbone, spec: Inversion = SPEC, *, masked: bool = True) -> TextualInversion:
    return TextualInversion(model, pictures(), masks() if masked else None, "<boot>", "shoe", spec, seed=3)


def learn(model: Backbone, store: Store, progress: Stage = lambda done: None) -> Artifact:
    """The token of the test pictures: trained, or what the store has of it."""

    def make(artifact: Artifact) -> dict[str, bytes]:
        inversion = inverter(model)
        return inversion.files(
            {"label": "boot"}, inversion.trainer.run(SPEC.steps, SPEC.checkpoint_every, artifact, progress)
        )

    return Artifacts(store).get_or_make("token", {"label": "boot"}, CURVE, make)


def finish(model: Backbone, store: Store) -> bytes:
    return learn(model, store).get(EMBEDS)


def test_plain_diffusers_loads_the_token_and_reads_the_same_prompt(
    tiny_model: Backbone, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / EMBEDS).write_bytes(finish(tiny_model, Store.open(tmp_path / "store")))
    token = load_token(learn(tiny_model, Store.open(tmp_path / "store")))
    tiny_model.set_token(token.name, token.vectors)
    ours = tiny_model.encode_prompts([f"a photo of a {token_phrase('<boot>', 3, 'shoe')}"])
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_checkpoint)
    pipeline.load_textual_inversion(tmp_path / EMBEDS, token="<boot>")
    theirs, _ = pipeline.encode_prompt("a photo of a <boot> shoe", "cpu", 1, do_classifier_free_guidance=False)
    assert torch.allclose(ours.tokens, theirs, atol=1e-6)


def test_only_the_vectors_are_trained(tiny_model: Backbone) -> None:
    one = inverter(tiny_model)
    before = {name: p.clone() for name, p in tiny_model.text_encoders[0].model.named_parameters()}
    (vectors,) = one.vectors
    start = vectors.detach().clone()
    one.trainer.step()
    assert all(torch.equal(p, before[name]) for name, p in tiny_model.text_encoders[0].model.named_parameters())
    assert not torch.equal(vectors, start)
    assert all(p.grad is None for p in tiny_model.denoiser.parameters())


def test_every_vector_is_trained(tiny_model: Backbone) -> None:
    """A multi-vector token was once silently learned in its first vector alone (huggingface/diffusers#4450)."""
    one = inverter(tiny_model)
    (vectors,) = one.vectors
    start = vectors.detach().clone()
    one.trainer.step()
    assert ((vectors - start).abs().sum(dim=1) > 0).all()


def test_learning_lowers_the_loss(tiny_model: Backbone) -> None:
    """Compared on the same random numbers: the loss of one step varies more with its noise than with the token."""
    still = Inversion(vectors=4, steps=30, batch=16, learning_rate=1e-12)
    one = inverter(tiny_model, still.model_copy(update={"learning_rate": 0.02}))
    before = np.mean(losses(tiny_model, still, one.vectors[0].detach()))
    for _ in range(100):
        one.trainer.step()
    after = np.mean(losses(tiny_model, still, one.vectors[0].detach()))
    assert after < before


def losses(model: Backbone, spec: Inversion, vectors: torch.Tensor) -> list[float]:
    """The losses of some steps that leave `vectors` where they are."""
    one = inverter(model, spec)
    with torch.no_grad():
        one.vectors[0].copy_(vectors)
    return [one.trainer.step() for _ in range(spec.steps)]


def test_what_stands_outside_the_mask_is_not_learned(tiny_model: Backbone) -> None:
    """The weight of a latent cell is the share of it that the object covers."""
    one = inverter(tiny_model)
    covered = torch.from_numpy(np.stack(masks())).float().view(2, 1, 8, 4, 8, 4).mean(dim=(3, 5))
    assert torch.equal(one.weight, covered)
    assert torch.equal(inverter(tiny_model, masked=False).weight, torch.ones(2, 1, 8, 8))


def test_outside_the_mask_the_token_is_held_to_what_the_plain_word_says(tiny_model: Backbone) -> None:
    """With an object that covers nothing, a token that reads like the plain word has nothing to learn."""
    nothing = [np.zeros_like(mask) for mask in masks()]
    one = TextualInversion(tiny_model, pictures(), nothing, "<boot>", "shoe", SPEC, seed=3)
    assert one.trainer.step() > 0
    with torch.no_grad():
        one.plain_embeds = one.encode_prompts(
            [template.format(token_phrase("<boot>", SPEC.vectors, "shoe")) for template in TEMPLATES]
        )
    assert one.trainer.step() == pytest.approx(0, abs=1e-9)


def test_stopped_and_resumed_gives_the_same_bytes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    whole = finish(open_backbone(str(tiny_checkpoint), CPU), Store.open(tmp_path / "whole"))
    store = Store.open(tmp_path / "cut")

    class Killed(Exception):
        pass

    def kill_after_five(done: int, count: list[int] = [0]) -> None:  # noqa: B006
        count[0] += done
        if count[0] == 5:
            raise Killed

    with pytest.raises(Killed):
        learn(open_backbone(str(tiny_checkpoint), CPU), store, kill_after_five)
    (unfinished,) = {key.rsplit("/", 1)[1] for key in store.keys("concepts/token")}
    assert unfinished == CHECKPOINT
    assert finish(open_backbone(str(tiny_checkpoint), CPU), store) == whole


def test_a_checkpoint_of_an_older_version_is_left_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It held the vectors under another name: the token is trained from the start, not spoiled."""
    whole = finish(open_backbone(str(tiny_checkpoint), CPU), Store.open(tmp_path / "whole"))
    store = Store.open(tmp_path / "old")
    old = {"vectors": torch.zeros(3, 8), "losses": torch.ones(4), "exp_avg": torch.zeros(3, 8), "step": torch.tensor(4.0)}
    Artifacts(store).find("token", {"label": "boot"}, CURVE).save_checkpoint(save(old))
    assert finish(open_backbone(str(tiny_checkpoint), CPU), store) == whole


def test_the_record_tells_the_effective_learning_rate(tiny_model: Backbone, tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    record = json.loads(learn(tiny_model, store).get(CURVE))
    assert record["learning_rate_effective"] == SPEC.learning_rate
    assert len(record["losses"]) == SPEC.steps


def test_an_initializer_of_several_tokens_is_refused_with_the_remedy(tiny_model: Backbone) -> None:
    with pytest.raises(SpecError, match="give one of its words as initializer"):
        inverter(tiny_model, Inversion(initializer="sneaker"))


def test_a_token_starts_as_its_initializer(tiny_model: Backbone) -> None:
    number = tiny_model.text_encoders[0].tokenizer.convert_tokens_to_ids("shoe</w>")
    row = tiny_model.text_encoders[0].table.weight[number]
    assert torch.equal(inverter(tiny_model).vectors[0].detach(), row.repeat(3, 1))


def test_a_token_may_be_set_again_with_other_vectors(tiny_model: Backbone) -> None:
    prompt = [f"a {token_phrase('<x>', 2, 'shoe')}"]
    tiny_model.set_token("<x>", [torch.zeros(2, 8)])
    first, size = tiny_model.encode_prompts(prompt), len(tiny_model.text_encoders[0].tokenizer)
    tiny_model.set_token("<x>", [torch.ones(2, 8)])
    assert len(tiny_model.text_encoders[0].tokenizer) == size
    assert not torch.allclose(tiny_model.encode_prompts(prompt).tokens, first.tokens)


def test_a_token_of_another_model_is_refused(tiny_model: Backbone) -> None:
    with pytest.raises(ModelError, match="9 wide, the text encoder takes 8"):
        tiny_model.set_token("<x>", [torch.zeros(1, 9)])
    with pytest.raises(ModelError, match=r"it is of 2 text encoders, .* has 1"):
        tiny_model.set_token("<x>", [torch.zeros(1, 8)] * 2)


def test_all_vectors_enter_the_prompt_in_diffusers_spelling() -> None:
    assert token_names("<boot>", 3) == ["<boot>", "<boot>_1", "<boot>_2"]
    assert TEMPLATES[0].format(token_phrase("<boot>", 2, "shoe")) == "a photo of a <boot> <boot>_1 shoe"
