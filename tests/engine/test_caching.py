"""Deep features that are kept between steps, against a denoiser's layers called one by one. Costs fifteen seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from torch import Tensor

from pipelines.backbones.adapter_files import adapter_files
from pipelines.backbones.backbone import Backbone
from pipelines.backbones.loading import open_backbone
from pipelines.backbones.transformer_cache import TransformerCache
from pipelines.engine.engine import Engine
from pipelines.errors import ModelError
from pipelines.records import Image, Request
from tests.backbones.test_image_prompts import adapter  # noqa: F401  (a fixture)
from tests.backbones.test_row_loras import lora
from tests.builders import CPU
from tests.checkpoints import build, build_3, build_flux, build_xl
from tests.engine.test_engine import limited, mixture, near, noise, request

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "SD": lambda folder: build(folder, kl=True, prediction="epsilon"),
    "SD inpainting": lambda folder: build(folder, inpainting=True, kl=True, prediction="epsilon"),
    "StableUnCLIP": lambda folder: build(folder, unclip=True),
    "SDXL": build_xl,
}
TRANSFORMERS: dict[str, Callable[[Path], Path]] = {"SD 3": build_3, "Flux": build_flux}


@pytest.fixture(scope="module", params=BUILDERS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return BUILDERS[request.param](tmp_path_factory.mktemp("caching"))


@pytest.fixture(scope="module", params=TRANSFORMERS)
def transformer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return open_backbone(str(TRANSFORMERS[request.param](tmp_path_factory.mktemp("caching"))), CPU)


def drawn(backbone: Backbone, requests: list[Request], interval: int, capacity: int = 4) -> dict[int, Image]:
    return {c.request.index: c.image for c in Engine(backbone, capacity, interval).run(requests)}


def of_five(backbone: Backbone, image_embeds: Tensor | None = None) -> Callable[[], Tensor]:
    """A prediction of five rows that differ in latents, timesteps and prompts."""
    x = torch.randn(5, backbone.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))
    t, prompts = torch.tensor([100, 300, 500, 700, 900]), ["a shoe", "a red boot", "a bag", "", "a boot on grass"]
    prompt_embeds = backbone.encode_prompts(prompts)
    return lambda: backbone.predict(backbone.everywhere(x), t, prompt_embeds, image_embeds)


@torch.inference_mode()
def check_exact(backbone: Backbone, predict: Callable[[], Tensor]) -> None:
    """Recorded features change nothing, and recalled ones of the same inputs give the same prediction."""
    cache, plain = backbone.feature_cache(), predict()
    with cache.recording() as recorder:
        assert torch.equal(predict(), plain)
        features = recorder.features
    with cache.recalling(features):
        assert torch.allclose(predict(), plain, atol=1e-6)
    with cache.recalling(torch.zeros_like(features)):
        assert not torch.allclose(predict(), plain, atol=1e-2)
    assert torch.equal(predict(), plain), "the denoiser is as it was"


def test_features_of_the_same_inputs_give_the_same_prediction(checkpoint: Path) -> None:
    backbone = open_backbone(str(checkpoint), CPU)
    names = list(backbone.denoiser.state_dict())
    check_exact(backbone, of_five(backbone))
    for rank, key in enumerate("ab", 2):
        backbone.loras.add(key, lora(backbone, rank, rank))
    with backbone.loras.of_rows(["a", None, "b", None, "a"]):
        check_exact(backbone, of_five(backbone))
    backbone.remove_loras()
    assert list(backbone.denoiser.state_dict()) == names


def test_image_prompts_reach_the_last_layer(tiny_checkpoint: Path, adapter: Path) -> None:  # noqa: F811
    backbone = open_backbone(str(tiny_checkpoint), CPU)
    backbone.load_ip_adapter(adapter_files(str(adapter)))
    check_exact(backbone, of_five(backbone, torch.randn(5, 8, generator=torch.Generator().manual_seed(2))))


def last_layer(unet: Any, deep: Tensor, x: Tensor, t: Tensor, tokens: Tensor, added: dict[str, Tensor]) -> Tensor:
    """The UNet's output from the features that its last layer takes."""
    embedding = unet.time_embedding(unet.time_proj(t.expand(len(x))))
    if added:
        ids = unet.add_time_proj(added["time_ids"].flatten()).reshape(len(x), -1)
        embedding = embedding + unet.add_embedding(torch.cat([added["text_embeds"], ids], dim=1))
    block = unet.up_blocks[-1]
    hidden = block.resnets[-1](torch.cat([deep, unet.conv_in(x)], dim=1), embedding)
    if hasattr(block, "attentions"):
        (hidden,) = block.attentions[-1](hidden, encoder_hidden_states=tokens, return_dict=False)
    output: Tensor = unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))
    return output


def line(points: list[tuple[int, Tensor]], step: int) -> Tensor:
    """Through the last two of the points."""
    (first, before), (last, now) = points[-2:]
    return now + (now - before) * (step - last) / (last - first)


@torch.inference_mode()
def expected(checkpoint: Path, one: Request, interval: int) -> Tensor:
    """Latents by diffusers' scheduler, and a forward of the UNet for each of the two predictions."""
    backbone, outputs = open_backbone(str(checkpoint), CPU), list[Tensor]()
    unet, kept = backbone.denoiser, dict[str, list[tuple[int, Tensor]]]({one.prompt: [], "": []})
    block = unet.up_blocks[-1]
    before = (block.attentions if hasattr(block, "attentions") else block.resnets)[-2]
    before.register_forward_hook(lambda _, __, output: outputs.append(output[0] if isinstance(output, tuple) else output))
    scheduler = DDIMScheduler.from_config(DiffusionPipeline.from_pretrained(checkpoint).scheduler.config, clip_sample=False)
    scheduler.set_timesteps(one.steps)
    x = noise(one.seed)
    for number, t in enumerate(scheduler.timesteps):
        predictions = []
        for prompt, points in kept.items():
            embeds = backbone.encode_prompts([prompt]) if prompt else backbone.unconditional
            full = backbone.everywhere(x)
            arguments = backbone.prompt_arguments(embeds, full)  # type: ignore[attr-defined]
            if number in {0, 1, 2, 3, *range(4, one.steps, interval)}:
                predictions.append(unet(full, t, embeds.tokens, **arguments).sample)
                points.append((number, outputs[-1]))
            else:
                added = arguments.get("added_cond_kwargs", {})
                predictions.append(last_layer(unet, line(points, number), full, t, embeds.tokens, added))
        conditional, unconditional = predictions
        x = scheduler.step(unconditional + one.guidance * (conditional - unconditional), t, x).prev_sample
    return x


@pytest.mark.parametrize("interval", [2, 5])
@pytest.mark.parametrize("checkpoint", [name for name in BUILDERS if name != "StableUnCLIP"], indirect=True)
def test_steps_with_kept_features_are_as_by_hand(checkpoint: Path, interval: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone, one, latents = open_backbone(str(checkpoint), CPU), request(3, steps=12), list[Tensor]()
    decode = backbone.decode_latents
    monkeypatch.setattr(backbone, "decode_latents", lambda x: (latents.append(x), decode(x))[1])
    drawn(backbone, [one], interval)
    drawn(backbone, [one], 1)
    assert torch.allclose(latents[0], expected(checkpoint, one, interval), atol=1e-4)
    assert not torch.allclose(latents[0], latents[1], atol=1e-3)


def test_a_mixed_batch_equals_one_request_at_a_time(tiny_model: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where rows come and go, are guided at times, and memory runs out, too."""
    requests = [replace(one, steps=2 * one.steps) for one in mixture()]
    alone = {one.index: drawn(tiny_model, [one], 3)[one.index] for one in requests}
    together = drawn(tiny_model, requests, 3)
    assert all(near(image, alone[index]) for index, image in together.items())
    monkeypatch.setattr(tiny_model, "predict", limited(tiny_model.predict, 3))
    parts = drawn(tiny_model, requests, 3, capacity=8)
    assert len(parts) == len(together) == len(alone)
    assert all(near(image, alone[index]) for index, image in parts.items())


def forwards(model: Backbone) -> tuple[list[int], list[int]]:
    """Lists that fill with the numbers of rows, of all forwards, and of those that run the deep layers."""
    every, deep = list[int](), list[int]()
    model.denoiser.register_forward_pre_hook(lambda _, inputs: every.append(len(inputs[0])))
    model.denoiser.mid_block.register_forward_pre_hook(lambda _, inputs: deep.append(len(inputs[0])))
    return every, deep


def test_guidance_that_begins_between_finds_the_features_of_both_predictions(tiny_model: Backbone) -> None:
    every, deep = forwards(tiny_model)
    drawn(tiny_model, [request(steps=10, guidance_interval=(0.6, 0.8))], 3)  # guided are steps 6 and 7
    assert every == [1, 1, 1, 1, 2, 1, 2, 2, 1, 1]
    assert deep == [1, 1, 1, 1, 2, 2]


def test_places_are_refilled_at_once(tiny_model: Backbone) -> None:
    """A row that computes its deep features and one that forecasts them are rows of one tick."""
    every, deep = forwards(tiny_model)
    requests = [request(n, guidance=1.0, steps=steps) for n, steps in enumerate((8, 6, 8))]
    assert len(drawn(tiny_model, requests, 2, capacity=2)) == 3
    assert sum(every) == 8 + 6 + 8
    assert deep == [2] * 5 + [2] * 1 + [1] * 5, "steps 0 to 4 and 6 of a row, and 5 of 6"


def test_a_compiled_denoiser_keeps_features_too(tiny_checkpoint: Path) -> None:
    backbone, plain = open_backbone(str(tiny_checkpoint), CPU), open_backbone(str(tiny_checkpoint), CPU)
    backbone.denoiser.compile(backend="eager")
    one = request(guidance=1.0, steps=8)
    for interval in (3, 1):
        assert near(drawn(backbone, [one], interval)[0], drawn(plain, [one], interval)[0])


def test_what_the_deep_blocks_of_a_transformer_add_gives_the_same_prediction(transformer: Backbone) -> None:
    names = list(transformer.denoiser.state_dict())
    check_exact(transformer, of_five(transformer))
    transformer.loras.add("a", lora(transformer, 2, 1))
    with transformer.loras.of_rows(["a", None, "a", None, "a"]):
        check_exact(transformer, of_five(transformer))
    transformer.remove_loras()
    assert list(transformer.denoiser.state_dict()) == names


def test_a_transformer_runs_its_first_and_last_block_alone_between(transformer: Backbone) -> None:
    """Rows of different steps in one batch, as one request at a time."""
    requests = [request(n, steps=steps, guidance=3.0) for n, steps in enumerate((12, 8, 6))]
    alone = {one.index: drawn(transformer, [one], 3)[one.index] for one in requests}
    plain, deep = drawn(transformer, requests, 1), list[int]()
    blocks = [block for name in ("transformer_blocks", "single_transformer_blocks") for block in getattr(
        transformer.denoiser, name, ())]  # fmt: skip
    hooks = [
        block.register_forward_pre_hook(lambda _, __, inputs: deep.append(len(inputs["hidden_states"])), with_kwargs=True)
        for block in blocks[1:-1]
    ]
    together = drawn(transformer, requests, 3)
    for hook in hooks:
        hook.remove()
    twice = 2 if transformer.classifier_free else 1
    assert sum(deep) == twice * len(hooks) * (4 + 3 + 4 + 2 + 4 + 1)
    assert all(near(image, alone[index]) for index, image in together.items())
    assert any(not near(image, plain[index]) for index, image in together.items())


def test_a_transformer_without_deep_blocks_is_refused(transformer: Backbone) -> None:
    class Shallow(torch.nn.Module):
        transformer_blocks = torch.nn.ModuleList([torch.nn.Identity()] * 2)

    with pytest.raises(ModelError, match=r"method\.cache_interval: .* has no deep blocks; set it to 1"):
        TransformerCache(Shallow())
