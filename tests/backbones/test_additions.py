"""LoRAs and embeddings of a user's own, against plain diffusers with the same files. Costs eight seconds."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoPipelineForText2Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines import spec as specs
from pipelines.backbones.checkpoints import read_models
from pipelines.backbones.loading import open_backbone
from pipelines.errors import ModelError, SpecError
from pipelines.learning.lora import LoraTraining
from pipelines.learning.tokens import Tokens
from pipelines.spec import EmbeddingFile, Inversion, Lora, LoraFile
from pipelines.spec.helpers import check_helpers
from pipelines.vision.models import Models
from tests.builders import CPU, open_resources, picture, spec
from tests.checkpoints import build, build_3, build_flux, build_xl
from tests.contracts.test_backbones import near, ours, pipeline, plain, theirs

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "SD": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SDXL": build_xl,
}
SIZE = {"height": 32, "width": 32}


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp("checkpoint"))


@pytest.fixture(scope="module")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["SD"](tmp_path_factory.mktemp("sd"))


def layers(opened: Any, part: str, chosen: tuple[str, ...]) -> dict[str, torch.nn.Linear]:
    model = getattr(opened, part, None) or torch.nn.Module()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return {name: module for name, module in linear.items() if any(word in name for word in chosen)}


def weights(opened: Any, form: str) -> dict[str, Tensor]:
    """A LoRA of rank 2 in the denoiser's attention and in all CLIP encoders, named as diffusers or as kohya names layers."""
    generator = torch.Generator().manual_seed(1)
    xl, made = hasattr(opened, "text_encoder_2"), {}
    prefixes = {"unet": "lora_unet", "transformer": "", "text_encoder_2": "lora_te2"}
    prefixes["text_encoder"] = "lora_te1" if xl else "lora_te"
    for part, prefix in prefixes.items():
        for name, layer in layers(opened, part, ("attn", "fc1")).items():
            whole = name if not part.startswith("text") or name.startswith("text_model") else f"text_model.{name}"
            key = f"{prefix}_{whole.replace('.', '_')}" if form == "kohya" else f"{part}.{whole}"
            down, up = ("lora_down", "lora_up") if form == "kohya" else ("lora_A", "lora_B")
            made[f"{key}.{down}.weight"] = torch.randn(2, layer.in_features, generator=generator) * 0.5
            made[f"{key}.{up}.weight"] = torch.randn(layer.out_features, 2, generator=generator) * 0.5
            if form == "kohya":
                made[f"{key}.alpha"] = torch.tensor(1.0)
    return made


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_lora_draws_what_it_draws_in_plain_diffusers(form: str, checkpoint: Path, tmp_path: Path) -> None:
    opened = pipeline(AutoPipelineForText2Image, checkpoint)
    without = theirs(opened, plain(), **SIZE)
    save_file(weights(opened, form), tmp_path / "lora.safetensors")
    opened.load_lora_weights(str(tmp_path), weight_name="lora.safetensors", adapter_name="mine")
    opened.set_adapters("mine", 0.7)
    expected = theirs(opened, plain(), **SIZE)
    assert not near(expected, without)
    lora = LoraFile(path=str(tmp_path / "lora.safetensors"), weight=0.7)
    assert near(ours(open_backbone(str(checkpoint), CPU, loras=[lora]), plain()), expected)


@pytest.mark.parametrize("family", [build_3, build_flux])
def test_so_does_one_of_a_transformer(family: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = family(tmp_path / "checkpoint")
    opened = pipeline(AutoPipelineForText2Image, folder)
    without = theirs(opened, plain())
    save_file(weights(opened, "diffusers"), tmp_path / "lora.safetensors")
    opened.load_lora_weights(str(tmp_path), weight_name="lora.safetensors")
    expected = theirs(opened, plain())
    assert not near(expected, without)
    lora = LoraFile(path=str(tmp_path / "lora.safetensors"))
    assert near(ours(open_backbone(str(folder), CPU, loras=[lora]), plain()), expected)


def test_two_loras_add_up_and_one_is_learned_beside_them(sd: Path, tmp_path: Path) -> None:
    opened = pipeline(AutoPipelineForText2Image, sd)
    for name, form in (("a", "diffusers"), ("b", "kohya")):
        save_file(weights(opened, form), tmp_path / f"{name}.safetensors")
    files = [LoraFile(path=str(tmp_path / f"{name}.safetensors"), weight=0.5) for name in "ab"]
    for name in "ab":
        opened.load_lora_weights(str(tmp_path), weight_name=f"{name}.safetensors", adapter_name=name)
    opened.set_adapters(["a", "b"], [0.5, 0.5])
    backbone = open_backbone(str(sd), CPU, loras=files)
    fused = ours(backbone, plain())
    assert near(fused, theirs(opened, plain(), **SIZE))
    training = LoraTraining(backbone, [picture()], ["a shoe"], Lora(steps=2, batch=1, rank=2, learning_rate=0.1), seed=0)
    for _ in range(2):
        training.trainer.step()
    backbone.loras.add("learned", training.weights())
    assert not near(ours(backbone, plain(lora="learned")), fused)
    assert np.array_equal(ours(backbone, plain()), fused)


def embedding(encoders: int, form: str, vectors: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(2)
    first = torch.randn(vectors, 8, generator=generator)
    if encoders == 2:
        return {"clip_l": first, "clip_g": torch.randn(vectors, 12, generator=generator)}
    return {"emb_params" if form == "A1111" else "<any>": first[0] if vectors == 1 else first}


@pytest.mark.parametrize(
    ("form", "token", "tokens"),
    [
        ("diffusers", "<style>", ["<style>"]),
        ("diffusers", "<style>", ["<style>", "<style>_1"]),
        ("A1111", "EasyStyle", ["EasyStyle", "EasyStyle_1", "EasyStyle_2"]),
    ],
)
def test_an_embedding_draws_what_it_draws_in_plain_diffusers(
    form: str, token: str, tokens: list[str], checkpoint: Path, tmp_path: Path
) -> None:
    """In the prompt, and in the negative prompt. Of a word with capitals, diffusers has to be given all tokens."""
    opened = pipeline(AutoPipelineForText2Image, checkpoint)
    state = embedding(2 if hasattr(opened, "text_encoder_2") else 1, form, len(tokens))
    save_file(state, tmp_path / "learned_embeds.safetensors")
    for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
        if len(state) == 2:
            encoder, tokenizer = (getattr(opened, part + suffix) for part in ("text_encoder", "tokenizer"))
            opened.load_textual_inversion(state[name], token=token, text_encoder=encoder, tokenizer=tokenizer)
    if len(state) == 1:
        opened.load_textual_inversion(state, token=token)
    backbone = open_backbone(str(checkpoint), CPU, embeddings=[EmbeddingFile(path=str(tmp_path), token=token)])
    whole = " ".join(tokens) if token != token.lower() else token
    drawn = ours(backbone, plain(prompt=f"a photo of a shoe, {token}"))
    assert near(drawn, theirs(opened, plain(prompt=f"a photo of a shoe, {whole}"), **SIZE))
    assert near(drawn, ours(backbone, plain(prompt=f"a photo of a shoe, {token.lower()}")))
    assert not near(drawn, ours(backbone, plain(prompt="a photo of a shoe,")))
    drawn = ours(backbone, plain(negative_prompt=f"{token}, blurred"))
    assert near(drawn, theirs(opened, plain(), negative_prompt=f"{whole}, blurred", **SIZE))


def test_of_stable_diffusion_3_clip_alone_reads_it(tmp_path: Path) -> None:
    """T5 reads the prompt without it, as it does of a learned token."""
    folder = build_3(tmp_path / "checkpoint")
    save_file(embedding(2, "diffusers", 2), tmp_path / "learned_embeds.safetensors")
    backbone = open_backbone(str(folder), CPU, embeddings=[EmbeddingFile(path=str(tmp_path), token="<style>")])
    plain_backbone = open_backbone(str(folder), CPU)
    read, unread = backbone.encode_prompts(["a shoe, <style>"]).tokens, plain_backbone.encode_prompts(["a shoe, "]).tokens
    length = plain_backbone.text_encoders[0].tokenizer.model_max_length
    assert not torch.allclose(read[:, :length], unread[:, :length], atol=1e-3)
    assert torch.allclose(read[:, length:], unread[:, length:], atol=1e-5)


def named(checkpoint: Path, **additions: Any) -> Models:
    return Models(specs.Models(text_to_image=str(checkpoint), segmenter="cross-attention", **additions))


def test_both_count_in_the_revision(sd: Path, tmp_path: Path) -> None:
    file, vectors = tmp_path / "lora.safetensors", tmp_path / "embedding.safetensors"
    save_file(weights(pipeline(AutoPipelineForText2Image, sd), "kohya"), file)
    save_file(embedding(1, "diffusers", 2), vectors)
    lora, style = {"path": str(file)}, {"path": str(vectors), "token": "<style>"}
    variants = [
        {},
        {"loras": [lora]},
        {"loras": [{**lora, "weight": 0.5}]},
        {"embeddings": [style]},
        {"embeddings": [{**style, "token": "<other>"}]},
    ]
    revisions = [named(sd, **variant).revision for variant in variants]
    save_file({name: weight + 1 for name, weight in load_file(file).items()}, file)
    assert len({*revisions, named(sd, loras=[lora]).revision}) == len(variants) + 1
    assert named(sd).revision == revisions[0]
    for variant in variants:
        read_models(named(sd, **variant).spec)


@pytest.mark.parametrize(
    ("made", "field", "message"),
    [
        ({"x.weight": torch.zeros(1)}, "loras", "is no LoRA that diffusers reads"),
        (
            {"lora_unet_a.lora_down.weight": torch.zeros(2, 8), "lora_unet_a.dora_scale": torch.zeros(8)},
            "loras",
            "is no LoRA that diffusers reads; give one, without DoRA",
        ),
        (
            {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": torch.zeros(2, 20)},
            "loras",
            r"is made for another family of checkpoints \(embeddings 20 wide, not 8\)",
        ),
        ({"<x>": torch.zeros(2, 12)}, "embeddings", r"\(its vectors are 12 wide, the text encoders take 8\)"),
        (
            {"clip_l": torch.zeros(1, 8), "clip_g": torch.zeros(1, 12)},
            "embeddings",
            r"\(its vectors are 8 and 12 wide, the text encoders take 8\)",
        ),
        ({"a": torch.zeros(1), "b": torch.zeros(1)}, "embeddings", r"is no embedding of a token \(it holds a, b\)"),
    ],
)
def test_what_is_made_for_something_else_is_refused_by_its_header(
    made: dict[str, Tensor], field: str, message: str, sd: Path, tmp_path: Path
) -> None:
    save_file(made, tmp_path / "file.safetensors")
    token = {"token": "<style>"} if field == "embeddings" else {}
    with pytest.raises(ModelError, match=rf"^models\.{field}\.0\.path: '.*' .*{message}"):
        read_models(named(sd, **{field: [{"path": str(tmp_path / "file.safetensors"), **token}]}).spec)


def test_a_file_that_is_not_there_or_a_pickle_is_refused(sd: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"^models\.loras\.0\.path: there is no file '/gone\.safetensors'; give that of a LoRA"
    ):
        read_models(named(sd, loras=[{"path": "/gone.safetensors"}]).spec)
    pickle = shutil.copy(__file__, tmp_path / "style.pt")
    with pytest.raises(ModelError, match=r"^models\.embeddings\.0\.path: '.*' is no safetensors file, and pickles can run"):
        read_models(named(sd, embeddings=[{"path": str(pickle), "token": "<style>"}]).spec)


@pytest.mark.parametrize(("old", "new"), [("down_blocks.0", "down_blocks.7"), ("unet.", "text_encoder_2.")])
def test_layers_that_the_checkpoint_has_not_are_refused(old: str, new: str, sd: Path, tmp_path: Path) -> None:
    """Diffusers leaves them out."""
    made = weights(pipeline(AutoPipelineForText2Image, sd), "diffusers")
    name = next(iter(made)).replace(old, new).removesuffix("A.weight")
    further = {f"{name}A.weight": torch.zeros(2, 8), f"{name}B.weight": torch.zeros(8, 2)}
    save_file({**made, **further}, tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match=r"^models\.loras\.0\.path: '.*' is made for another .* \(1 of its 4\d layers are"):
        open_backbone(str(sd), CPU, loras=[LoraFile(path=str(tmp_path / "x.safetensors"))])


def test_a_word_of_the_vocabulary_stands_for_itself(sd: Path, tmp_path: Path) -> None:
    save_file(embedding(1, "diffusers", 1), tmp_path / "learned_embeds.safetensors")
    with pytest.raises(ModelError, match=r"^models\.embeddings\.0\.token: 'shoe' is a word of .* already; give another"):
        open_backbone(str(sd), CPU, embeddings=[EmbeddingFile(path=str(tmp_path), token="shoe")])


def test_a_token_that_stands_in_no_prompt_or_is_a_class_s_own_is_refused(sd: Path, tmp_path: Path) -> None:
    models = {"text_to_image": str(sd), "embeddings": [{"path": "/styles/a.safetensors", "token": "<boot>"}]}
    with pytest.raises(SpecError, match=r"^models\.embeddings\.0\.token: '<boot>' stands in no prompt; use it in method"):
        check_helpers(spec(models=models))
    method = {"type": "text_to_image", "templates": ["a {} as a <boot>"]}
    check_helpers(spec(models=models, method=method))
    made = open_resources(tmp_path, models=models, method=method)
    with pytest.raises(SpecError, match=r"^models\.embeddings\.0\.token: '<boot>' is what a class's own token is called"):
        Tokens(made, "shoe", Inversion()).check()
    with pytest.raises(SpecError, match=r"embeddings: the token '<a' stands in another one"):
        spec(models={"embeddings": [{"path": "x", "token": "<a"}, {"path": "y", "token": "<a>"}]})
